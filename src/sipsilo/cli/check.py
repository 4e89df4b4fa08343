"""`sipsilo check`: is this configuration right?"""

from pathlib import Path
from typing import Annotated

import typer

from sipsilo.cli.options import settings_or_exit


def check(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration file to look at.")],
) -> None:
    """Check a configuration file, without starting anything.

    Prints every mistake with its file and line and what would be accepted, and ends with exit code 1;
    or says ok. SIPSILO_… variables that are set are checked too, as they go over the file.

    **Example**

    ```console
    $ sipsilo check --config sipsilo.toml
    ```
    """
    settings_or_exit(config, {})
    print(f"{config}: ok")
