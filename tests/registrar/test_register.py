"""REGISTER: what is refused, and what the 200 says."""

import asyncio
from collections.abc import Iterable

import pytest

from sipsilo.registrar.binding import Binding
from sipsilo.registrar.location import Location
from sipsilo.registrar.register import Registered, Registrar
from sipsilo.sip.errors import SipError
from sipsilo.sip.message import Request
from sipsilo.sip.uri import Aor
from tests.loop import run_in_virtual_time
from tests.registrar.samples import BOB, LIMITS, UDP, register

A, B = "sip:a@192.0.2.1", "sip:b@192.0.2.2"


class NoDatabase:
    """A repository that keeps nothing: the location remembers."""

    async def load(self, now: float) -> Iterable[tuple[Aor, Binding]]:
        return ()

    async def replace(self, aor: Aor, bindings: tuple[Binding, ...]) -> None:
        await asyncio.sleep(0)

    async def purge(self, now: float) -> None:
        await asyncio.sleep(0)


def answers(monkeypatch: pytest.MonkeyPatch, *requests: Request, pause: float = 0) -> list[Registered]:
    """What becomes of REGISTERs one after the other, with `pause` seconds between them."""

    async def scenario() -> list[Registered]:
        registrar = Registrar(Location(NoDatabase()), LIMITS)
        results = []
        for request in requests:
            results.append(await registrar.register(request, BOB, UDP))
            await asyncio.sleep(pause)
        return results

    return run_in_virtual_time(scenario(), monkeypatch)


def test_answer_lists_all_bindings_with_what_is_left_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [
        register(f"Contact: <{A}>;expires=600;q=0.5", cseq=1),
        register(f"Contact: <{B}>", "Expires: 1000", cseq=2),
        register(cseq=3),
        register(f"Contact: <{A}>;expires=0", cseq=4),
        register("Contact: *", "Expires: 0", cseq=5),
    ]
    assert [each.headers for each in answers(monkeypatch, *requests, pause=100)] == [
        [("Contact", f"<{A}>;q=0.5;expires=600")],
        [("Contact", f"<{B}>;expires=1000"), ("Contact", f"<{A}>;q=0.5;expires=500")],
        [("Contact", f"<{B}>;expires=900"), ("Contact", f"<{A}>;q=0.5;expires=400")],
        [("Contact", f"<{B}>;expires=800")],
        [],
    ]


def test_binding_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    _, query = answers(monkeypatch, register(f"Contact: <{A}>;expires=600"), register(cseq=2), pause=600)
    assert query.headers == []


def test_path_is_echoed(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 3327 §5.3: all Path values of the REGISTER, as they are."""
    paths = ["<sip:edge.example.org;lr>,<sip:two;lr>", '"Three" <sip:three;lr;ob>']
    (registered,) = answers(
        monkeypatch, register(f"Contact: <{A}>", *(f"Path: {each}" for each in paths), "Require: path")
    )
    assert [value for name, value in registered.headers if name == "Path"] == paths


def test_new_binding_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [
        register(f"Contact: <{A}>", cseq=1),
        register(f"Contact: <{A}>", cseq=2),
        register(f"Contact: <{B}>", cseq=3),
    ]
    assert [each.has_new for each in answers(monkeypatch, *requests)] == [True, False, True]


@pytest.mark.parametrize(
    ("headers", "unsupported"),
    [
        (["Require: gruu"], "gruu"),
        (["Require: path, gruu", "Require: 100rel"], "gruu, 100rel"),
        (["Require: path"], None),
        (["Require: PATH"], None),
        (["Supported: gruu"], None),
    ],
)
def test_required_extensions(monkeypatch: pytest.MonkeyPatch, headers: list[str], unsupported: str | None) -> None:
    request = register(f"Contact: <{A}>", *headers)
    if unsupported is None:
        assert len(answers(monkeypatch, request)) == 1
        return
    with pytest.raises(SipError) as caught:
        answers(monkeypatch, request)
    assert caught.value.status == 420
    assert caught.value.headers == (("Unsupported", unsupported),)


@pytest.mark.parametrize("aor", [Aor("u" * 65, "example.org"), Aor("bob", "h" * 65)])
def test_aor_that_a_column_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch, aor: Aor) -> None:
    """SPEC.md chapter 5; nothing could be stored for it either."""
    registrar = Registrar(Location(NoDatabase()), LIMITS)
    with pytest.raises(SipError):
        run_in_virtual_time(registrar.register(register(f"Contact: <{A}>"), aor, UDP), monkeypatch)


def test_body_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SipError) as caught:
        answers(monkeypatch, register(f"Contact: <{A}>", "Content-Type: text/plain", body=b"Hi"))
    assert caught.value.status == 415
    assert [name for name, _ in caught.value.headers] == ["Accept"]


def test_optional_body_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """§8.2.3: a body that is not understood is refused where it "is not optional (as indicated by the
    Content-Disposition header field)"."""
    headers = ["Content-Type: text/plain", "Content-Disposition: session;handling=optional"]
    (registered,) = answers(monkeypatch, register(f"Contact: <{A}>", *headers, body=b"Hi"))
    assert len(registered.bindings) == 1
