"""`sipsilo check`: are this configuration and this script right?"""

from pathlib import Path
from typing import Annotated

import typer

from sipsilo.cli.options import ScriptOption, fail, script_or_exit, settings_or_exit


def check(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="The configuration file to look at.")
    ] = None,
    script: ScriptOption = None,
) -> None:
    """Check a configuration file, a routing script or both, without starting anything.

    Prints every mistake with its file and line and what would be accepted, and ends with exit code 1;
    or says ok. SIPSILO_… variables that are set are checked too, as they go over the file. A script is
    imported, so what it does at its top level is done.

    **Examples**

    ```console
    $ sipsilo check --config sipsilo.toml
    $ sipsilo check --script routes.py
    ```
    """
    if config is None and script is None:
        fail("sipsilo check: nothing to check; accepted: --config FILE, --script FILE or both")
    if config is not None:
        settings_or_exit(config, {})
        print(f"{config}: ok")
    if script is not None:
        script_or_exit(script)
        print(f"{script}: ok")
