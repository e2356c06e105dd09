"""Stories about who may call: tokens, their end, their file, and the people behind a dashboard."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from fleet_control.api.access import AccessList, Caller, identify, parse_access
from fleet_control.api.tokens import create_token
from fleet_control.errors import NotSignedInError, PersonRefusedError, TokensFileError
from fleet_control.rollouts.states import Role
from tests.fleet_control.api.desk import NOW_S, YEAR_S, Desk


def listed(path: Path) -> AccessList:
    """Return the list of a file."""
    return parse_access(path.read_bytes(), "tokens")


def entry(role: str, expires: str) -> bytes:
    """Return an entry of the file."""
    return f"[[tokens]]\nname = 'a'\nrole = '{role}'\nsha256 = '{'0' * 64}'\nexpires = {expires}\n".encode()


def test_a_token_is_shown_once_and_kept_nowhere(tmp_path: Path) -> None:
    """Who steals the file cannot call."""
    path = tmp_path / "tokens.toml"

    token = create_token(path, "ci", Role.ON_CALL, NOW_S + 60, acts_for_people=False)

    assert token.encode() not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert identify(listed(path), token, None, NOW_S) == Caller("ci", Role.ON_CALL)


def test_a_token_ends(tmp_path: Path) -> None:
    """One that somebody forgot opens nothing a year later, and says why."""
    path = tmp_path / "tokens.toml"
    token = create_token(path, "ci", Role.ON_CALL, NOW_S, acts_for_people=False)

    assert identify(listed(path), token, None, NOW_S - 1).name == "ci"
    with pytest.raises(NotSignedInError, match="the token of ci expired at 2027-01-15 08:00 UTC"):
        identify(listed(path), token, None, NOW_S)


@given(token=st.text(), person=st.none() | st.text())
def test_nothing_but_a_token_signs_anybody_in(token: str, person: str | None) -> None:
    """Whatever is sent instead of a token ends in one clear refusal."""
    known = parse_access(entry("viewer", "2099-01-01T00:00:00Z"), "tokens")

    with pytest.raises(NotSignedInError):
        identify(known, token, person, NOW_S)


PEOPLE = {"ann@example.com": Role.ON_CALL, "olga@example.com": Role.OWNER}


@pytest.mark.parametrize(
    ("service", "person", "role"),
    [
        (Role.OWNER, "olga@example.com", Role.OWNER),
        (Role.OWNER, "Ann@Example.com ", Role.ON_CALL),
        (Role.OWNER, "stranger@example.com", Role.VIEWER),
        (Role.ON_CALL, "olga@example.com", Role.ON_CALL),
        (Role.VIEWER, "olga@example.com", Role.VIEWER),
    ],
)
def test_a_person_has_the_lower_of_both_roles(tmp_path: Path, service: Role, person: str, role: Role) -> None:
    """Neither a dashboard nor a person can lend the other what they do not have."""
    path = tmp_path / "tokens.toml"
    token = create_token(path, "dashboard", service, NOW_S + 60, acts_for_people=True)
    with path.open("a") as file:
        file.write("[people]\n" + "".join(f'"{email}" = "{one.value}"\n' for email, one in PEOPLE.items()))

    caller = identify(listed(path), token, person, NOW_S)

    assert caller == Caller(person.strip().lower(), role)


def test_not_every_token_speaks_for_people(desk: Desk) -> None:
    """A script cannot put somebody else's name into the audit log."""
    headers = {"X-Cartwright-Person": "olga@example.com"}

    refused = desk.call("GET", "/v1/me", "rollout_owner", headers=headers)

    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert desk.get("/v1/me", "dashboard", headers=headers) == {
        "name": "olga@example.com",
        "role": "rollout_owner",
    }
    assert desk.get("/v1/me", "dashboard") == {"name": "dashboard", "role": "rollout_owner"}


@pytest.mark.parametrize("person", ["", "olga", "o lga@example.com", "a@b\tc", "x" * 300])
def test_a_person_is_an_address(tmp_path: Path, person: str) -> None:
    """Nothing else gets into the audit log as a name."""
    path = tmp_path / "tokens.toml"
    token = create_token(path, "dashboard", Role.OWNER, NOW_S + 60, acts_for_people=True)

    with pytest.raises(PersonRefusedError):
        identify(listed(path), token, person, NOW_S)


def test_every_path_but_the_checks_asks_for_a_token(desk: Desk) -> None:
    """What is in the schema under /v1 answers nobody without one."""
    schema = desk.get("/openapi.json", None)
    paths = [path for path in schema["paths"] if path.startswith("/v1/")]
    assert len(paths) == 11

    for path in paths:
        for method in schema["paths"][path]:
            for header in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic YTpi"}):
                response = desk.call(method, path.replace("{rollout}", "autumn"), None, headers=header)
                assert response.status_code == 401, (method, path)
                assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_works_as_soon_as_it_is_made_and_stops_when_its_entry_goes(own_desk: Desk) -> None:
    """Nobody restarts the service for that."""
    own_desk.tokens["new"] = own_desk.token("new", Role.VIEWER)
    assert own_desk.get("/v1/me", "new") == {"name": "new", "role": "viewer"}

    document = own_desk.tokens_file.read_text()
    before, _, after = document.partition('[[tokens]]\nname = "new"')
    own_desk.tokens_file.write_text(before + after.partition("Z\n")[2])

    assert own_desk.call("GET", "/v1/me", "new").status_code == 401
    assert own_desk.call("GET", "/v1/me", "viewer").status_code == 200


def test_a_slip_in_the_file_locks_nobody_out_and_is_in_the_log(own_desk: Desk) -> None:
    """Whoever has to pause a rollout can, while somebody edits."""
    good = own_desk.tokens_file.read_bytes()
    own_desk.tokens_file.write_bytes(good + b"[[tokens")

    with capture_logs() as logs:
        assert own_desk.call("GET", "/v1/me").status_code == 200

    assert logs[0]["event"] == "tokens file not taken: the last good one holds"
    own_desk.tokens_file.write_bytes(good + b"\n")
    assert own_desk.call("GET", "/v1/me").status_code == 200


def test_a_file_that_is_gone_lets_nobody_in(own_desk: Desk) -> None:
    """To take everybody's access, delete it."""
    own_desk.tokens_file.rename(own_desk.tokens_file.with_suffix(".away"))
    assert own_desk.call("GET", "/v1/me").status_code == 401

    own_desk.tokens_file.with_suffix(".away").rename(own_desk.tokens_file)
    assert own_desk.call("GET", "/v1/me").status_code == 200


def test_an_expired_token_is_refused_over_http(desk: Desk) -> None:
    """The clock is looked at with every request."""
    desk.now_s = NOW_S + YEAR_S

    assert desk.call("GET", "/v1/me").status_code == 401


def test_a_name_is_used_once(tmp_path: Path) -> None:
    """The audit log tells services apart by their names."""
    path = tmp_path / "tokens.toml"
    create_token(path, "ci", Role.VIEWER, NOW_S, acts_for_people=False)
    before = path.read_bytes()

    with pytest.raises(TokensFileError, match="named 'ci' already"):
        create_token(path, "ci", Role.OWNER, NOW_S, acts_for_people=False)

    assert path.read_bytes() == before


def test_comments_of_the_file_stay(tmp_path: Path) -> None:
    """Making a token appends and rewrites nothing, also where the last line has no end."""
    path = tmp_path / "tokens.toml"
    before = "# Who may call\n[people]\n'ann@example.com' = 'on_call' # since May"
    path.write_text(before)
    path.chmod(0o600)

    create_token(path, "ci", Role.VIEWER, NOW_S, acts_for_people=False)

    assert path.read_text().startswith(before + "\n")
    assert listed(path).people == {"ann@example.com": Role.ON_CALL}


@pytest.mark.parametrize(
    "document",
    [
        b"[[tokens]]\nname = 'a'\n",
        entry("king", "2099-01-01T00:00:00Z"),
        entry("viewer", "2099-01-01T00:00:00"),
        entry("viewer", "2099-01-01T00:00:00Z") * 2,
        b"[people]\n'Ann' = 'viewer'\n",
        b"[persons]\n",
        b"\xff",
    ],
)
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, document: bytes) -> None:
    """A missing field, an unknown role, a time without zone, a misspelt table: said, and not guessed."""
    path = tmp_path / "tokens.toml"
    path.write_bytes(document)
    path.chmod(0o600)

    with pytest.raises(TokensFileError):
        create_token(path, "ci", Role.VIEWER, NOW_S, acts_for_people=False)

    assert path.read_bytes() == document


def test_a_file_that_others_may_write_is_no_list_of_ours(own_desk: Desk) -> None:
    """Whoever can write it could let themselves in."""
    own_desk.tokens["new"] = own_desk.token("new", Role.OWNER)
    own_desk.tokens_file.chmod(0o620)

    with capture_logs() as logs:
        assert own_desk.call("GET", "/v1/me", "new").status_code == 401

    assert "chmod 600" in logs[0]["why"]
