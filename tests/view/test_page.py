from html.parser import HTMLParser

import pytest

from ksim_cli.view import page

STRANGE = "<script>alert(1)</script><img src=x onerror=alert(1)> \"' & \x00\x1b \ud800"
VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """What a browser finds in a page: tags, attributes, texts; and whether each tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def everything():
    return page.page(
        STRANGE,
        (
            page.heading(STRANGE, STRANGE),
            page.tiles([(STRANGE, STRANGE)]),
            page.section(STRANGE, page.paragraph(STRANGE), page.warnings([STRANGE])),
            page.table([STRANGE], [[STRANGE]], marked=[0]),
            page.gallery(
                [page.media(b"\x00\x01", ".png", STRANGE), page.media(b"", ".mp4", STRANGE)]
            ),
            page.curves(["<svg></svg>"]),
        ),
    )


def test_every_text_is_shown_letter_by_letter():
    found = Reader(everything())
    assert found.open == [] and "script" not in found.tags
    assert found.tags.count("img") == 1
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    shown = STRANGE.replace("\x00", "�").replace("\x1b", "�").replace("\ud800", "�")
    assert found.texts.count(shown) == 12
    everything().encode("utf-8")


def test_nothing_comes_from_elsewhere_and_no_script_may_run():
    text = everything()
    found = Reader(text)
    policy = dict(found.attributes)["content"]
    assert "default-src 'none'" in text and "script-src" not in text and policy
    sources = [value for name, value in found.attributes if name in ("src", "href")]
    assert sources and all(value.startswith("data:") for value in sources)
    assert "://" not in text and "url(" not in text and "@import" not in text
    assert text.splitlines()[1] == page.MARK


def test_dark_and_light():
    assert "color-scheme: light dark" in everything()
    assert "prefers-color-scheme: dark" in everything()


def test_numbers_stand_to_the_right():
    text = page.table(["name", "value"], [["a", "1,000 ± 0.5"], ["b", "-"], ["c", "2.6k"]])
    assert text.count('<td class="number">') == 3 and text.count('<th class="number">') == 1
    assert '<td class="number">' not in page.table(["x"], [["1"], ["one"]])


@pytest.mark.parametrize(
    "empty",
    [
        page.section("title", "", ""),
        page.table(["a"], []),
        page.curves([]),
        page.gallery([]),
        page.warnings([]),
        page.paragraph(""),
    ],
)
def test_nothing_to_show_takes_no_room(empty):
    assert empty == ""


def test_media_are_embedded_whole():
    import base64

    content = bytes(range(256))
    for suffix, kind in ((".mp4", "video/mp4"), (".png", "image/png"), (".gif", "image/gif")):
        text = page.media(content, suffix, "a")
        found = [value for name, value in Reader(text).attributes if name == "src"]
        head, data = found[0].split(",")
        assert head == f"data:{kind};base64" and base64.b64decode(data) == content
    with pytest.raises(KeyError):
        page.media(content, ".svg", "a")
