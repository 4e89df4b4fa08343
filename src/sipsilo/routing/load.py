"""A script from a file: read, looked through, run once; every mistake with its file and line."""

import builtins
import sys
from pathlib import Path
from types import ModuleType

from sipsilo.config.errors import Mistake
from sipsilo.routing.lint import mistakes_in
from sipsilo.routing.script import Script, ScriptError, shown


def load_script(path: Path) -> Script:
    """The script that a Python file makes under the name `script`, or under another if it makes just one.

    Modules beside the file can be imported by it. Raises ScriptError with every mistake that could be found.
    """
    file = str(path.absolute())
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ScriptError([Mistake(shown(file), f"cannot be read: {reason}")]) from error
    mistakes = mistakes_in(source, file)
    if mistakes:
        raise ScriptError(mistakes)
    return _script_of(_run(source, file), file)


def _run(source: str, file: str) -> ModuleType:
    """Execute a script's module, as an import would."""
    module = ModuleType(f"sipsilo_script_{Path(file).stem}")
    module.__file__ = file
    folder = str(Path(file).parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules[module.__name__] = module  # dataclasses and others look there for the module they are written in
    try:
        exec(builtins.compile(source, file, "exec"), module.__dict__)
    except ScriptError:
        raise
    except Exception as error:
        raise ScriptError([_mistake(error, file)]) from error
    except SystemExit as end:
        raise ScriptError([Mistake(shown(file), f"the script ends the program: SystemExit({end.code})")]) from end
    return module


def _mistake(error: Exception, file: str) -> Mistake:
    """What a module raised, at the last line of the script that had a part in it."""
    if isinstance(error, SyntaxError) and error.filename:  # of a module that it imports
        return Mistake(f"{shown(error.filename)}:{error.lineno}", f"{error.msg}")
    line, traceback = 0, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == file:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return Mistake(f"{shown(file)}:{line}", f"{type(error).__name__}: {error}")


def _script_of(module: ModuleType, file: str) -> Script:
    named = {id(value): value for value in vars(module).values() if isinstance(value, Script)}
    script = vars(module).get("script")
    if not isinstance(script, Script):
        if len(named) != 1:
            raise ScriptError([Mistake(shown(file), "makes no script; accepted: script = Script()")])
        script = next(iter(named.values()))
    if script.main is None:
        problem = "no request route; accepted: one async function under @script.request_route"
        raise ScriptError([Mistake(shown(file), problem)])
    return script
