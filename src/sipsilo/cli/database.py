"""What the subcommands do to the database, and say of it. Only they need SQLAlchemy, which takes a while to load."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from sipsilo.cli.options import fail
from sipsilo.config import Msilo
from sipsilo.silo.repository import RepositoryError
from sipsilo.storage import administration
from sipsilo.storage.schema import names_of
from sipsilo.storage.tables import SiloNames
from sipsilo.storage.urls import shown

Result = TypeVar("Result")


def silo_names(msilo: Msilo) -> SiloNames:
    """What the parameters db_table and sc_… call the silo and its columns."""
    return names_of(msilo.db_table, msilo.columns)


def finish(work: Coroutine[Any, Any, Result]) -> Result:
    """Do the work; an error of the database in one line, and exit code 1."""
    try:
        return asyncio.run(work)
    except RepositoryError as error:
        fail(str(error))


def init(msilo: Msilo) -> None:
    """`sipsilo db init`."""
    finish(administration.init(msilo.db_url, silo_names(msilo)))
    print(f"{shown(msilo.db_url)}: made the tables, {msilo.db_table} for messages")


def upgrade(msilo: Msilo) -> None:
    """`sipsilo db upgrade`."""
    mended = finish(administration.upgrade(msilo.db_url, silo_names(msilo)))
    for problem in mended:
        print(f"{shown(msilo.db_url)}: mended: {problem}")
    if not mended:
        print(f"{shown(msilo.db_url)}: has all that sipsilo needs")


def check(msilo: Msilo) -> None:
    """`sipsilo db check`."""
    finding = finish(administration.check(msilo.db_url, silo_names(msilo)))
    if finding.problems:
        lines = [f"{shown(msilo.db_url)}: {problem}" for problem in finding.problems]
        fail("\n".join([*lines, f"mend this with: sipsilo db {finding.command}"]))
    print(f"{shown(msilo.db_url)}: ok")
