"""HTML to the text a person would see, with marks where a mail client put the quoted mail.

Lexbor does the reading. Not here: sanitising for display (the API does that when it is read).
"""

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

QUOTE_START = "\x01"
QUOTE_END = "\x02"
QUOTE_REST = "\x03"

_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "br", "caption", "center", "dd", "div", "dl", "dt", "fieldset", "figure"}
    | {"footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section"}
    | {"table", "tbody", "tfoot", "thead", "tr", "ul"}
)
_SPACED = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "table", "pre"})
_INVISIBLE = ["style", "script", "title", "template", "noscript", "head", "object", "svg", "textarea", "select"]
_HIDDEN = '[hidden], [style*="display:none" i], [style*="display: none" i], [style*="mso-hide:all" i]'
_MAY_HIDE = re.compile(r"display:\s?none|mso-hide|\shidden", re.IGNORECASE)
# The element holds the quoted mail.
_CONTAINERS = (
    "div.gmail_quote, blockquote.gmail_quote, blockquote[type=cite], .yahoo_quoted, .protonmail_quote, .gmail_quote_container,"
    " .tutanota_quote, blockquote.tutanota_quote, .zmail_extra, #isForwardContent, .moz-forward-container,"
    " .ms-outlook-mobile-reference-message, div#mail-editor-reference-message-container"
)
# From the element on everything is the quoted mail.
_DIVIDERS = (
    '#appendonsend, #divRplyFwdMsg, div[style*="border-top:solid #E1E1E1" i], div[style*="border-top:solid #B5C4DF" i],'
    ' div[style*="border-top: solid #E1E1E1" i], .OutlookMessageHeader, #x_divRplyFwdMsg, #OLK_SRC_BODY_SECTION'
)
_MARKER = re.compile(
    r"gmail_quote|type=[\"']?cite|yahoo_quoted|protonmail_quote|tutanota_quote|zmail_extra|moz-cite-prefix|moz-forward|appendonsend"
    r"|divRplyFwdMsg|border-top:\s?solid #(?:E1E1E1|B5C4DF)|OutlookMessageHeader|reference-message|OLK_SRC_BODY|isForwardContent",
    re.IGNORECASE,
)
_OWN_CONTROLS = re.compile("[\x00\x01\x02\x03]")
_SPACES = re.compile(r"[ \t\r\n\f]+")
_AROUND_BREAK = re.compile(r" ?\n ?")
_WIDE = re.compile(r"[ \t]{2,}")
_MANY_BREAKS = re.compile(r"\n{3,}")
_MAX_MARKS = 100
_MAX_DEPTH = 60


def has_quote_marker(html: str) -> bool:
    """Whether some client's mark of a quoted mail may be in it: cheap, so that most HTML need not be read."""
    return _MARKER.search(html) is not None


def without_controls(text: str) -> str:
    """Without NUL and without the characters used as marks here."""
    return _OWN_CONTROLS.sub("", text)


def html_to_text(html: str) -> str:
    """The visible text. Quoted mails stand between QUOTE_START and QUOTE_END or after QUOTE_REST, characters that nothing else holds."""
    tree = LexborHTMLParser(without_controls(html))
    tree.strip_tags(_INVISIBLE)
    if _MAY_HIDE.search(html) is not None:
        for node in tree.css(_HIDDEN):
            node.decompose()
    body = tree.body or tree.root
    if body is None:
        return ""
    if has_quote_marker(html):
        _mark_quotes(tree)
    return _layout(_pieces(body))


def _mark_quotes(tree: LexborHTMLParser) -> None:
    marked: set[int] = set()
    for node in tree.css(_CONTAINERS)[:_MAX_MARKS]:
        if not _inside(node, marked) and not _answered_inside(node):
            marked.add(node.mem_id)
            node.insert_before(QUOTE_START)
            node.insert_after(QUOTE_END)
    for node in tree.css(_DIVIDERS)[:_MAX_MARKS]:
        if not _inside(node, marked):
            node.insert_before(QUOTE_REST)
            break


def _inside(node: LexborNode, marked: set[int]) -> bool:
    parent = node.parent
    for _ in range(_MAX_DEPTH):
        if parent is None:
            return False
        if parent.mem_id in marked:
            return True
        parent = parent.parent
    return True


def _answered_inside(node: LexborNode) -> bool:
    """Gmail keeps answers between the pieces of a quote inside its quote element: those are never cut."""
    if "gmail_quote" not in (node.attributes.get("class") or ""):
        return False
    quoted = False
    for child in node.iter(include_text=True):
        if child.tag == "blockquote":
            quoted = True
        elif quoted and child.text(deep=True, strip=True):
            return True
    return False


def _pieces(body: LexborNode) -> list[str]:
    out: list[str] = []
    for node in body.traverse(include_text=True):
        tag = node.tag
        if tag == "-text":
            text = node.text_content
            if text is None:
                continue
            if not text.isspace():
                _after_block(node, out)
            out.append(_SPACES.sub(" ", text))
        elif tag in _BLOCKS:
            out.append("\n\n" if tag in _SPACED else "\n")
            if tag == "li":
                out.append("- ")
        elif tag in {"td", "th"}:
            out.append(" ")
        else:
            _after_block(node, out)
    return out


def _after_block(node: LexborNode, out: list[str]) -> None:
    previous = node.prev
    if previous is not None:
        tag = previous.tag
        if tag in _BLOCKS and tag != "br":
            out.append("\n\n" if tag in _SPACED else "\n")


def _layout(pieces: list[str]) -> str:
    text = _WIDE.sub(" ", "".join(pieces))
    text = _MANY_BREAKS.sub("\n\n", _AROUND_BREAK.sub("\n", text))
    return text.replace("\xa0", " ").strip(" \n")
