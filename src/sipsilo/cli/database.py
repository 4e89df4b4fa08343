"""What the subcommands do to the database, and say of it. Only they need SQLAlchemy, which takes a while to load."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from sipsilo.cli.options import fail
from sipsilo.config import Msilo
from sipsilo.storage import administration
from sipsilo.storage.access import DatabaseError
from sipsilo.storage.schema import SchemaError
from sipsilo.storage.tables import SiloNames
from sipsilo.storage.urls import shown

Result = TypeVar("Result")


def silo_names(msilo: Msilo) -> SiloNames:
    """What the parameters db_table and sc_… call the silo and its columns."""
    return SiloNames(
        table=msilo.db_table,
        mid=msilo.sc_mid or SiloNames.mid,
        src_addr=msilo.sc_from,
        dst_addr=msilo.sc_to,
        username=msilo.sc_uri_user,
        domain=msilo.sc_uri_host,
        body=msilo.sc_body,
        ctype=msilo.sc_ctype,
        exp_time=msilo.sc_exp_time,
        inc_time=msilo.sc_inc_time,
        snd_time=msilo.sc_snd_time,
        extra_hdrs=msilo.sc_stored_hdrs,
        callid=msilo.sc_callid,
        status=msilo.sc_status,
    )


def finish(work: Coroutine[Any, Any, Result]) -> Result:
    """Do the work; an error of the database in one line, and exit code 1."""
    try:
        return asyncio.run(work)
    except (DatabaseError, SchemaError) as error:
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
