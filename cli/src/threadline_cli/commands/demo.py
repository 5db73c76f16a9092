"""`threadline demo`: the whole of Threadline beside a throw-away mail world, with a scripted story. The story itself stands in `demo/`."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from threadline_runtime.configuration.configuration import load_configuration
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.http import HttpServer
from threadline_runtime.logging import configure_logging
from threadline_runtime.settings import HttpSettings, LogSettings, OpsSettings, Settings

from threadline_cli.failures import NoAnswerError
from threadline_cli.options import example
from threadline_cli.output import say, screen
from threadline_cli.version import VERSION

__all__ = ["register"]

_WATCHED_PAUSE, _TEST_PAUSE = 1.5, 0.0
_PATIENCE_SECONDS = 60.0
_USUAL_PORT = 8080


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog=example("threadline demo", "threadline demo --port 9000 --seconds 120"))(demo)


def demo(
    host: Annotated[str, typer.Option(help="Where the page and the API listen.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(help="Port of the page and the API; 0 takes a free one.", min=0, max=65535, show_default="8080, else a free one"),
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="End by itself so long after the story.", min=0, show_default=False)] = None,
    once: Annotated[bool, typer.Option("--once", help="Tell the story without pauses and end with it.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Do not remove the data folder at the end.")] = False,
) -> None:
    """Watch it work: an own mail server, customers who write and answer, and the page that shows it live."""
    with _data_folder(keep=keep) as folder:
        asyncio.run(
            _run(
                folder,
                host,
                _usual_or_free(host) if port is None else port,
                seconds=0.0 if once else seconds,
                pause=_TEST_PAUSE if once else _WATCHED_PAUSE,
            )
        )


def _usual_or_free(host: str) -> int:
    """A taken port is no reason to make somebody who only wants to look read about ports."""
    try:
        HttpServer.claim(host, _USUAL_PORT).close()
    except ConfigurationError:
        return 0
    return _USUAL_PORT


@contextmanager
def _data_folder(*, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="threadline-demo-"))
    try:
        yield folder
    finally:
        if keep:
            say(f"the data is kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


async def _run(folder: Path, host: str, port: int, *, seconds: float | None, pause: float) -> None:
    # Imported here: the mail world is heavy, and `threadline --help` needs none of it.
    from threadline_cli.demo import cast
    from threadline_cli.demo.agent import Agent, StoryError
    from threadline_cli.demo.display import Display
    from threadline_cli.demo.mail_world import mail_world
    from threadline_cli.demo.story import Story
    from threadline_cli.up import running

    display = Display(screen(), datetime.now)
    data = folder / "data"
    settings = _settings(data, host, port)
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(mail_world(cast.PASSWORDS))
        configuration = load_configuration(cast.write_accounts(folder, imap_port=world.imap_port, smtp_port=world.smtp_port))
        threadline = await stack.enter_async_context(running(data, settings, configuration))
        display.opened(threadline.url, await threadline.make_key("You"))
        agent_key = await threadline.make_key(cast.AGENT)
        agent = await stack.enter_async_context(Agent(threadline.url, agent_key, patience=_PATIENCE_SECONDS))
        story = Story(world, agent, display.happened, pause=pause, patience=_PATIENCE_SECONDS)
        try:
            told = await threadline.unless_it_ends(story.play())
        except StoryError as error:
            raise NoAnswerError(f"the demo's story broke off: {error}") from error
        if told and seconds != 0:
            display.told(seconds)
            with suppress(TimeoutError):
                await threadline.unless_it_ends(asyncio.wait_for(story.keep_answering(), seconds))


def _settings(data: Path, host: str, port: int) -> Settings:
    """Settings of its own, whatever the environment says: the demo touches nothing but its folder."""
    settings = Settings.model_construct(http=HttpSettings(host=host, port=port), ops=OpsSettings(port=0)).in_folder(data)
    configure_logging(LogSettings(level="error", format="console"), service="threadline", version=VERSION)
    return settings
