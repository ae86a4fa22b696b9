"""The integrators' pages are what the maps say, and say all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from robotics.faults import load_faults
from robotics.handshake import limit_sentence, limits_of
from robotics.integrators import OLD_MAP, OTHER_MAP, OWN_MAP, PAGES, render
from robotics.modbus_link.page import Language
from robotics.modbus_link.registers import load_map
from robotics.port import CommandCode, LinkLimit

DOCS = Path(__file__).parents[2] / "docs"
LANGUAGES: list[Language] = ["en", "zh"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_committed_page_is_the_generated_one(language: Language) -> None:
    committed = (DOCS / PAGES[language]).read_text(encoding="utf-8")
    assert committed == render(language), "run: python -m robotics.integrators"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [OWN_MAP, OLD_MAP, OTHER_MAP])
def test_every_register_is_on_the_page(name: str, language: Language) -> None:
    page = render(language)
    for entry in load_map(name).entries.values():
        register = str(entry.address) if entry.words == 1 else f"{entry.address}…{entry.last}"
        named = [r for r in page.splitlines() if r.startswith(f"| {register} |") and f"`{entry.name}`" in r]
        said = [entry.type, getattr(entry, language), *(f"{v.raw} `{v.means}`" for v in entry.values)]
        assert any(all(part in row for part in said) for row in named), entry.name


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_command_fault_and_placeholder_is_filled(language: Language) -> None:
    page = render(language)
    assert "{{" not in page
    assert "None" not in page
    for code in CommandCode:
        assert f"**{code.name}**" in page
    for entry in load_map(OWN_MAP).entries.values():
        for bit, fault in entry.faults.items():
            assert f"| `{entry.name}` {bit} | {fault} | `{load_faults()[fault].name}`" in page


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_layout_leaves_open_is_on_the_page_in_a_sentence_each(language: Language) -> None:
    page = render(language)
    told = {limit for name in (OWN_MAP, OLD_MAP, OTHER_MAP) for limit in limits_of(load_map(name))}
    assert told == set(LinkLimit) - {LinkLimit.NO_OWNER}, "the unfenced maps that we ship have owner words"
    assert all(limit_sentence(limit, language) in page for limit in told)
    assert len({limit_sentence(limit, language) for limit in LinkLimit}) == len(LinkLimit)


def test_both_languages_have_the_same_shape() -> None:
    def shape(text: str) -> list[str]:
        return [re.sub(r"[^#|`]", "", line)[:1] for line in text.splitlines() if line[:1] in "#|`"]

    assert shape(render("en")) == shape(render("zh"))
