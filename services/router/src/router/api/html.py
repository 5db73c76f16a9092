"""HTML of a message, made safe for display each time it is read. The original is kept as sent and only ever downloaded.

Allowed is what a mail needs to look like itself. Nothing is fetched from elsewhere: remote images go, and `cid:` images become
addresses of our own attachments. Not here: turning HTML into text.
"""

import re
from collections.abc import Mapping
from urllib.parse import unquote

import nh3

__all__ = ["safe_html"]

_TAGS = {
    "a", "abbr", "address", "article", "aside", "b", "bdi", "bdo", "blockquote", "br", "caption", "center", "cite", "code", "col",
    "colgroup", "dd", "del", "details", "dfn", "div", "dl", "dt", "em", "figcaption", "figure", "font", "footer", "h1", "h2", "h3",
    "h4", "h5", "h6", "header", "hr", "i", "img", "ins", "kbd", "li", "main", "mark", "ol", "p", "pre", "q", "rp", "rt", "ruby", "s",
    "samp", "section", "small", "span", "strike", "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead",
    "time", "tr", "tt", "u", "ul", "var", "wbr",
}  # fmt: skip
_BOX = {"align", "valign", "width", "height", "bgcolor", "border", "cellpadding", "cellspacing", "colspan", "rowspan", "scope"}
_ATTRIBUTES = {
    "*": {"style", "dir", "lang", "title"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height", "align", "border"},
    "font": {"color", "face", "size"},
    "ol": {"start", "type"},
    "li": {"value"},
    "blockquote": {"type"},
    **dict.fromkeys(("table", "tbody", "thead", "tfoot", "tr", "td", "th", "col", "colgroup", "caption", "div", "p", "hr"), _BOX),
}
# No position, no z-index, and no property that takes a url(): a mail must not draw over the page or call home.
_STYLES = {
    "color", "background-color", "font-family", "font-size", "font-style", "font-weight", "font-variant", "letter-spacing", "line-height",
    "text-align", "text-decoration", "text-indent", "text-transform", "vertical-align", "white-space", "word-break", "direction",
    "border", "border-top", "border-right", "border-bottom", "border-left", "border-color", "border-style", "border-width",
    "border-collapse", "border-spacing", "border-radius", "margin", "margin-top", "margin-right", "margin-bottom", "margin-left",
    "padding", "padding-top", "padding-right", "padding-bottom", "padding-left", "width", "max-width", "min-width", "height",
    "max-height", "min-height", "display", "float", "clear", "list-style-type", "table-layout",
}  # fmt: skip


# Cleaning costs the square of the depth, and nobody reads a megabyte of markup: such HTML is only downloaded.
_LONGEST = 1024 * 1024
_DEEPEST = 1500
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_FLAT = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "p", "li", "wbr"}
_NOT_SHOWN = "<p>This HTML is too long or nested too deeply to be shown here. Its text is there, and the message as it came.</p>"


def _is_deep(html: str) -> bool:
    """Whether more elements are open at once than any writer of mails opens, by a count that may err towards yes."""
    depth = 0
    for closing, name in _TAG.findall(html):
        if name.lower() not in _FLAT:
            depth = max(0, depth - 1) if closing else depth + 1
            if depth > _DEEPEST:
                return True
    return False


def safe_html(html: str, images: Mapping[str, str] | None = None) -> str:
    """`html` without anything that runs, draws over the page, or fetches from elsewhere.

    `images` maps a content id (without angle brackets) to the address at which we serve it; other images lose their source.
    """
    if len(html) > _LONGEST or _is_deep(html):
        return _NOT_SHOWN
    known = images or {}

    def attribute(tag: str, name: str, value: str) -> str | None:
        if tag == "img" and name == "src":
            scheme, _, content_id = value.strip().partition(":")
            return known.get(unquote(content_id)) if scheme.lower() == "cid" else None
        return value

    return nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags={"script", "style", "title", "head", "noscript", "template", "iframe", "object", "svg", "math"},
        attributes=_ATTRIBUTES,
        attribute_filter=attribute,
        filter_style_properties=_STYLES,
        url_schemes={"http", "https", "mailto", "tel", "cid"},
        link_rel="noopener noreferrer nofollow",
        strip_comments=True,
    )
