"""YAML as people write it, but for a key that stands twice: YAML would take the last one without a word."""

from collections.abc import Hashable
from typing import Any

import yaml

from schemas.documents import fit, too_deep


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - yaml's
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value} stands twice: leave one of them out", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """The content. Raises ``yaml.YAMLError`` with the line, or :class:`schemas.documents.DocumentError`."""
    try:
        return fit(yaml.load(text, _Loader))  # noqa: S506 - a safe loader
    except RecursionError as error:
        raise too_deep() from error
