import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import handles
from services.errors import InvalidInput
from services.inputs import NewUser


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("ada", "ada"),
        ("Ada_Lovelace.1815", "ada_lovelace.1815"),
        ("ａｄａ", "ada"),  # noqa: RUF001 — full-width letters
        ("\u212aelvin", "kelvin"),
        ("a" * 32, "a" * 32),
        ("__", "__"),
    ],
)
def test_a_handle_is_stored_in_one_form_however_it_is_typed(typed: str, stored: str) -> None:
    assert handles.normalised(typed) == stored


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "a",
        "a" * 33,
        "deleted-usr",
        "ada lovelace",
        " ada",
        "ada\n",
        "\u0430da",  # a Cyrillic a
        "ad\u03b1",  # a Greek alpha
        "ada\u200b",
        "\u0130da",  # a dotted I leaves its dot behind
        "\u0661\u0662",  # Arabic digits
        "a\ud800",
    ],
)
def test_lookalikes_and_other_characters_are_no_handle(typed: str) -> None:
    assert handles.normalised(typed) is None


@given(st.text(max_size=40))
def test_a_stored_handle_is_its_own_form(typed: str) -> None:
    stored = handles.normalised(typed)

    assert stored is None or (handles.normalised(stored) == stored and stored.isascii())


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("  Ada Lovelace ", "Ada Lovelace"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("\U0001f469\u200d\U0001f680", "\U0001f469\u200d\U0001f680"),
        ("\u05e2\u05d3\u05d4", "\u05e2\u05d3\u05d4"),
        ("x" * 64, "x" * 64),
    ],
)
def test_a_display_name_is_stored_trimmed_and_composed(typed: str, stored: str) -> None:
    assert handles.display_name(typed) == stored


@pytest.mark.parametrize(
    "typed", ["", "   ", "x" * 65, "a\x00b", "a\nb", "a\u202eb", "\u200b\u200d", "a\ud800", "a\u2028b"]
)
def test_a_display_name_that_disturbs_is_refused(typed: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        NewUser.of(handle="ada", display_name=typed)

    assert refused.value.path == ("input", "displayName")


@pytest.mark.parametrize(
    ("typed", "stored"),
    [(None, None), ("", None), ("\x00\n", None), (" My\x07 phone ", "My phone"), ("x" * 300, "x" * 100)],
)
def test_the_name_of_a_device_is_cleaned_and_cut(typed: str | None, stored: str | None) -> None:
    assert handles.device(typed) == stored
