"""Small pieces of markup."""

import pytest
from markupsafe import Markup

from status.page.markup import Template, glyph


def test_a_template_escapes_text_and_keeps_markup() -> None:
    row = Template('<a title="{name}">{sign}</a>{name}')
    assert row(name='"x" & <y>', sign=Markup("<b/>")) == (
        '<a title="&#34;x&#34; &amp; &lt;y&gt;"><b/></a>&#34;x&#34; &amp; &lt;y&gt;'
    )
    assert isinstance(row(name="", sign=3), Markup)


def test_a_hole_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError):
        Template("{one}{other}")(one=1)


def test_a_glyph_names_its_sign() -> None:
    assert '<use href="#g-held"/>' in glyph("held")
