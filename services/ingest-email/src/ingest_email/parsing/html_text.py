"""HTML to the text a person would see, with marks where a mail client put the quoted mail.

Lexbor does the reading. Not here: sanitising for display (the API does that when it is read).
"""

import re
from html import unescape

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
_MAY_HIDE = ("display:none", "display: none", "mso-hide", " hidden")
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
_MARKERS = (
    "gmail_quote",
    "type=cite",
    'type="cite',
    "type='cite",
    "yahoo_quoted",
    "protonmail_quote",
    "tutanota_quote",
    "zmail_extra",
    "moz-forward",
    "appendonsend",
    "divrplyfwdmsg",
    "solid #e1e1e1",
    "solid #b5c4df",
    "outlookmessageheader",
    "reference-message",
    "olk_src_body",
    "isforwardcontent",
)
_OWN = (QUOTE_START, QUOTE_END, QUOTE_REST, "\x00", "\x04")
_BREAK = "\x04"
_PARAGRAPH = _BREAK * 2
_AROUND_START = re.compile(f"({_BREAK}*)([{QUOTE_START}{QUOTE_REST}])({_BREAK}*)")
_AROUND_END = re.compile(f"({_BREAK}*){QUOTE_END}({_BREAK}*)")
_MANY_BREAKS = re.compile(f"{_BREAK}{{3,}}")
_TAG = re.compile(r"<[^<>]*+>")
_MAX_UNCLOSED = 10_000
_MAX_MARKS = 100
_MAX_DEPTH = 60


def has_quote_marker(html: str) -> bool:
    """Whether some client's mark of a quoted mail may be in it: cheap, so that most HTML need not be read."""
    lowered = html.lower()
    return any(marker in lowered for marker in _MARKERS)


def without_controls(text: str) -> str:
    """Without NUL and without the characters used as marks here."""
    for one in _OWN:
        if one in text:
            text = text.replace(one, "")
    return text


def html_to_text(html: str) -> str:
    """The visible text.

    Quoted mails stand between QUOTE_START and QUOTE_END or after QUOTE_REST, characters that nothing else holds.
    """
    if html.count("<") - 2 * html.count("</") > _MAX_UNCLOSED:
        return _rough(html)
    tree = LexborHTMLParser(without_controls(html))
    tree.strip_tags(_INVISIBLE)
    lowered = html.lower()
    if any(sign in lowered for sign in _MAY_HIDE):
        for node in tree.css(_HIDDEN):
            node.decompose()
    body = tree.body or tree.root
    if body is None:
        return ""
    if "<pre" in lowered:
        _keep_lines(tree)
    if any(marker in lowered for marker in _MARKERS):
        _mark_quotes(tree)
    return _layout("".join(_pieces(body)))


def _rough(html: str) -> str:
    """The words of HTML made to hurt: with so many elements left open, reading it by the rules takes quadratic time."""
    return " ".join(unescape(_TAG.sub(" ", without_controls(html))).split())


def _keep_lines(tree: LexborHTMLParser) -> None:
    for block in tree.css("pre"):
        for node in list(block.traverse(include_text=True)):
            text = node.text_content if node.tag == "-text" else None
            if text is not None and "\n" in text:
                node.replace_with(text.replace("\n", _BREAK))


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
            out.append(text)
        elif tag in _BLOCKS:
            out.append(_PARAGRAPH if tag in _SPACED else _BREAK)
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
            out.append(_PARAGRAPH if tag in _SPACED else _BREAK)


def _layout(text: str) -> str:
    """White space of the source means one blank; the breaks are those of the elements."""
    text = " ".join(text.split()).replace(f" {_BREAK}", _BREAK).replace(f"{_BREAK} ", _BREAK)
    if QUOTE_START in text or QUOTE_REST in text:  # a mark is no text: the breaks on both its sides are one
        text = _AROUND_END.sub(f"{QUOTE_END}\\1\\2", _AROUND_START.sub(r"\1\3\2", text))
    return _MANY_BREAKS.sub(_PARAGRAPH, text).strip(f"{_BREAK} ").replace(_BREAK, "\n")
