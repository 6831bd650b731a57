"""YAML as people write it, but for a key that stands twice: YAML would take the last one without a word."""

from typing import Any

import yaml

from schemas.documents import fit, too_deep


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """As written: before `<<` brings keys that the mapping's own may stand over."""
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            one = (key.tag, key.value)
            if one in seen:
                raise yaml.composer.ComposerError(
                    None, None, f"{key.value} stands twice: leave one of them out", key.start_mark
                )
            seen.add(one)
        return node


def read_yaml(text: str, name: str = "the document") -> Any:
    """The content. Raises ``yaml.YAMLError`` with `name` and the line, or :class:`schemas.documents.DocumentError`."""
    try:
        loader = _Loader(text)
        loader.name = name
        return fit(loader.get_single_data())
    except RecursionError as error:
        raise too_deep() from error
