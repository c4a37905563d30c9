"""A page of HTML that needs nothing but itself, light or dark as its reader has it.

Every text is escaped here, once: what is shown may come from a stranger. The page forbids itself
scripts and everything from elsewhere.
"""

import base64
import html
import re
from collections.abc import Iterable, Sequence

MARK = "<!-- written by ksim report -->"
"""Stands in every page, so that no file of anybody else is written over."""

_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NUMBER = re.compile(r"[-+±\d.,:eEkMG% ]+( s| min| h)?|-")

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1f23; --faint: #667; --line: #d8dce0;
  --card: #f6f7f9; --mark: #0b62b0; --warn: #9a5b00; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171a; --ink: #e4e7ea; --faint: #9aa3ad;
  --line: #343a41; --card: #1c2126; --mark: #6cb4ff; --warn: #f0b35a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 90rem; background: var(--ground);
  color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; padding-bottom: .2rem;
  border-bottom: 1px solid var(--line); }
p { margin: .3rem 0; overflow-wrap: anywhere; }
.faint { color: var(--faint); }
.tiles { display: flex; flex-wrap: wrap; gap: .7rem; margin-top: 1rem; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .5rem .9rem; min-width: 8rem; }
.tile b { display: block; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
.curves { display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr)); }
.curves figure { margin: 0; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; padding: .3rem; }
svg { display: block; width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; max-width: 40rem; overflow-wrap: anywhere; }
th { color: var(--faint); font-weight: 500; white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap; }
.typed { color: var(--mark); font-weight: 600; }
.warnings li { color: var(--warn); overflow-wrap: anywhere; }
video, img { max-width: 100%; max-height: 30rem; border-radius: .5rem; background: #000; }
.media { display: flex; flex-wrap: wrap; gap: 1rem; }
.media figure { margin: 0; }
"""

MEDIA = {
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".gif": "image/gif",
    ".png": "image/png",
    ".jpg": "image/jpeg",
}
"""Suffix of what can be embedded -> its type; nothing that could hold a script."""


def escape(text: object) -> str:
    """A text as HTML shows it letter by letter, without what cannot be seen."""
    return html.escape(_UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(text)))


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page.

    Args:
        title: as text.
        parts: its sections, as the functions below make them.
    """
    policy = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    return "\n".join(
        (
            "<!doctype html>",
            MARK,
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            *parts,
            "</body></html>\n",
        )
    )


def heading(title: str, *lines: str) -> str:
    """The page's head: a title and lines in small below it."""
    return f"<h1>{escape(title)}</h1>" + "".join(
        f'<p class="faint">{escape(line)}</p>' for line in lines
    )


def section(title: str, *parts: str) -> str:
    """A titled section; nothing where it would be empty."""
    inner = "".join(parts)
    return f"<section><h2>{escape(title)}</h2>{inner}</section>" if inner else ""


def paragraph(text: str) -> str:
    """A remark."""
    return f'<p class="faint">{escape(text)}</p>' if text else ""


def tiles(figures: Iterable[tuple[str, str]]) -> str:
    """Figures to be seen first: `(name, value)`."""
    each = "".join(
        f'<div class="tile"><span class="faint">{escape(name)}</span><b>{escape(value)}</b></div>'
        for name, value in figures
    )
    return f'<div class="tiles">{each}</div>'


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], marked: Iterable[int] = ()) -> str:
    """A table of texts; numbers to the right. Nothing without rows.

    Args:
        columns: names of the columns.
        rows: cells of each row.
        marked: rows whose first cell is emphasised.
    """
    if not rows:
        return ""
    emphasised = set(marked)
    numeric = [all(_NUMBER.fullmatch(row[j]) for row in rows) for j in range(len(columns))]
    kinds = [' class="number"' if each else "" for each in numeric]
    typed = ' class="typed"'
    named = zip(columns, kinds, strict=True)
    head = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in named)
    lines = [
        "".join(
            f"<td{typed if j == 0 and i in emphasised else kinds[j]}>{escape(cell)}</td>"
            for j, cell in enumerate(row)
        )
        for i, row in enumerate(rows)
    ]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def curves(drawings: Iterable[str]) -> str:
    """Drawings, each an `<svg>` element that `to_svg` made, side by side; nothing without any."""
    each = "".join(f"<figure>{svg}</figure>" for svg in drawings)
    return f'<div class="curves">{each}</div>' if each else ""


def media(content: bytes, suffix: str, caption: str) -> str:
    """A video or a picture, embedded.

    Args:
        content: bytes of the file.
        suffix: of its name, one of `MEDIA`.
        caption: below it.
    """
    kind = MEDIA[suffix]
    source = f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
    shown = f'<img src="{source}" alt="{escape(caption)}">'
    if kind.startswith("video/"):
        shown = f'<video src="{source}" controls loop muted></video>'
    return f'<figure>{shown}<figcaption class="faint">{escape(caption)}</figcaption></figure>'


def gallery(shown: Iterable[str]) -> str:
    """Videos and pictures side by side; nothing without any."""
    inner = "".join(shown)
    return f'<div class="media">{inner}</div>' if inner else ""


def warnings(texts: Sequence[str]) -> str:
    """A list of warnings; nothing without any."""
    each = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul class="warnings">{each}</ul>' if each else ""
