"""Passwords of editors, and the file that they are in."""

import os
from pathlib import Path

import pytest

from flows.config.errors import SettingsError
from flows.config.settings import Settings, WebSettings
from flows.judgements.editors import are_edits_allowed, editors_file, is_editor, set_password, words_of_no_editors
from flows.judgements.passwords import hash_of, is_of

PASSWORD = "correct horse β"


def settings(home: Path, **web: object) -> Settings:
    return Settings(home=home, web=WebSettings(**{"allow_edits": True, **web}))  # type: ignore[arg-type]


def test_a_hash_knows_its_password_and_no_other_and_is_never_the_same() -> None:
    kept = hash_of(PASSWORD)
    assert kept.startswith("scrypt$32768$8$1$")
    assert is_of(PASSWORD, kept)
    assert not any(is_of(other, kept) for other in ("", PASSWORD + " ", PASSWORD.upper()))
    assert hash_of(PASSWORD) != kept
    assert is_of("\udce9", hash_of("\udce9")), "bytes that are no UTF-8"


@pytest.mark.parametrize("kept", ["", "x", "scrypt$1$2", "scrypt$0$8$1$AAAA$AAAA", "md5$32768$8$1$AAAA$AAAA", "$$$$$"])
def test_what_is_no_hash_is_nobodys(kept: str) -> None:
    assert not is_of("", kept)


def test_editors_are_kept_for_their_reader_only_and_know_their_passwords(tmp_path: Path) -> None:
    own = settings(tmp_path)
    assert not are_edits_allowed(own, "127.0.0.1"), "there are no editors"
    assert "no editors" in (words_of_no_editors(own) or "")
    file = set_password(own, "anna", PASSWORD)
    set_password(own, "ben", PASSWORD + "2")
    assert file == editors_file(own) == tmp_path / "editors"
    assert file.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in file.read_text()
    assert are_edits_allowed(own, "127.0.0.1")
    assert words_of_no_editors(own) is None
    assert is_editor(own, "anna", PASSWORD)
    assert is_editor(own, "ben", PASSWORD + "2")
    assert not is_editor(own, "anna", PASSWORD + "2")
    assert not is_editor(own, "carl", "nobody has this password")
    set_password(own, "anna", "another password")
    assert is_editor(own, "anna", "another password")
    assert not is_editor(own, "anna", PASSWORD)
    assert not are_edits_allowed(settings(tmp_path, allow_edits=False), "127.0.0.1")


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602])
def test_a_file_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    own = settings(tmp_path)
    file = set_password(own, "anna", PASSWORD)
    file.chmod(mode)
    for what in (lambda: are_edits_allowed(own, "::1"), lambda: is_editor(own, "anna", PASSWORD)):
        with pytest.raises(SettingsError, match="chmod 600"):
            what()
    assert "chmod 600" in (words_of_no_editors(own) or "")
    with pytest.raises(SettingsError, match="chmod 600"):
        set_password(own, "anna", PASSWORD)


def test_a_link_or_a_pipe_is_no_file_of_editors(tmp_path: Path) -> None:
    own = settings(tmp_path)
    set_password(own, "anna", PASSWORD).rename(tmp_path / "elsewhere")
    (tmp_path / "editors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match="cannot be read"):
        are_edits_allowed(own, "127.0.0.1")
    (tmp_path / "editors").unlink()
    os.mkfifo(tmp_path / "editors", 0o600)
    with pytest.raises(SettingsError):
        are_edits_allowed(own, "127.0.0.1")


@pytest.mark.parametrize(
    ("host", "public_url", "is_refused"),
    [
        ("127.0.0.1", None, False),
        ("localhost", "http://ccd.example.org", False),
        ("0.0.0.0", None, True),
        ("0.0.0.0", "http://ccd.example.org", True),
        ("192.168.0.5", "https://ccd.example.org", False),
    ],
)
def test_passwords_cross_no_network_in_the_clear(
    tmp_path: Path, host: str, public_url: str | None, is_refused: bool
) -> None:
    own = settings(tmp_path, public_url=public_url)
    set_password(own, "anna", PASSWORD)
    if is_refused:
        with pytest.raises(SettingsError, match="https"):
            are_edits_allowed(own, host)
    else:
        assert are_edits_allowed(own, host)


@pytest.mark.parametrize(
    ("name", "password"), [("", PASSWORD), ("an:na", PASSWORD), ("a\nb", PASSWORD), ("anna", "short")]
)
def test_names_and_passwords_that_will_not_do_change_nothing(tmp_path: Path, name: str, password: str) -> None:
    with pytest.raises(SettingsError) as told:
        set_password(settings(tmp_path), name, password)
    assert password not in str(told.value)
    assert not (tmp_path / "editors").exists()
