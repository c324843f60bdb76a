import pytest

from services.words import WORD_CHARACTERS, has_phrases, phrases_of, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Straße CAFÉ nai\u0308ve", ["strasse", "cafe", "naive"]),
        ("日本語テスト abc 語", ["日本", "本語", "語テ", "テス", "スト", "abc", "語"]),
        ("foo-bar_baz, don't", ["foo", "bar", "baz", "don", "t"]),
        ("한글 테스트", ["한글", "테스트"]),
        ("🎉 !? \x00", []),
        ("x" * 100, ["x" * WORD_CHARACTERS]),
    ],
)
def test_words_have_no_case_accents_or_punctuation(text: str, words: list[str]) -> None:
    assert words_of(text) == words
    assert words_of(" ".join(words)) == words


@pytest.mark.parametrize(
    ("query", "phrases"),
    [
        ("foo bar foo", [["foo"], ["bar"]]),
        ('"foo bar" x', [["foo", "bar"], ["x"]]),
        ("日本語", [["日本", "本語"]]),
        ('foo-bar "not closed', [["foo", "bar"], ["not", "closed"]]),
        (' "" !', []),
    ],
)
def test_each_part_of_a_query_is_a_phrase(query: str, phrases: list[list[str]]) -> None:
    assert phrases_of(query) == phrases


def test_a_phrase_is_words_in_a_row_and_never_parts_of_them() -> None:
    words = ["foo", "bars", "and", "bar"]

    assert has_phrases(words, [["bar"], ["foo", "bars"]])
    assert not has_phrases(words, [["foo", "bar"]])
    assert not has_phrases(words, [["ar"]])
