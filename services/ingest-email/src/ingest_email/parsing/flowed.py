"""Joins the soft line breaks of ``format=flowed`` text (RFC 3676).

Not here: quoting. The quote depth is only kept apart.
"""


def unflow(text: str, *, delete_space: bool) -> str:
    """The paragraphs whole. The signature line is never flowed; lines of different quote depth are never joined."""
    out: list[str] = []
    open_depth = -1
    for line in text.split("\n"):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        content = content.removeprefix(" ")
        if out and (open_depth != depth or content == "-- "):
            out.append("\n")
            open_depth = -1
        if open_depth < 0 and depth:
            out.append(">" * depth + " ")
        flows = content.endswith(" ") and content != "-- "
        out.append(content[:-1] if flows and delete_space else content)
        open_depth = depth if flows else -1
    return "".join(out)
