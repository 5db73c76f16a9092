"""`threadline up` in this process: what it shows of itself, and how work beside it ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from threadline_cli.commands.up import listening
from threadline_cli.up import Running, running
from threadline_runtime.configuration.configuration import load_configuration
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.settings import HttpSettings, OpsSettings, Settings

pytestmark = pytest.mark.integration
ACCOUNT = """brands:
  acme: {name: Acme}
accounts:
  - id: support-mail
    channel: email
    brand: acme
    address: support@acme.test
    imap: {host: 127.0.0.1, port: 1, tls: none, username: a, password: env:HOME}
    smtp: {host: 127.0.0.1, port: 1, tls: none}
"""


@contextlib.asynccontextmanager
async def started(folder: Path, text: str = ACCOUNT) -> AsyncIterator[Running]:
    file = folder / "threadline.yaml"
    file.write_text(text)
    data = folder / "data"
    settings = Settings(http=HttpSettings(port=0), ops=OpsSettings(port=0)).in_folder(data)
    async with running(data, settings, load_configuration(file)) as made:
        yield made


async def test_an_account_that_cannot_be_reached_is_a_state_not_an_end(tmp_path: Path) -> None:
    async with started(tmp_path) as up:
        await up.settled(within=20)
        (account,) = up.accounts()
        assert (account.account_id, account.channel, account.brand) == ("support-mail", "email", "acme")
        assert "unreachable" in account.state


async def test_the_first_key_is_made_once(tmp_path: Path) -> None:
    async with started(tmp_path) as up:
        assert up.first_key is not None
    async with started(tmp_path) as up:
        assert up.first_key is None


async def test_work_beside_it_ends_with_its_own_result_or_with_threadline(tmp_path: Path) -> None:
    async with started(tmp_path) as up:
        assert await up.unless_it_ends(asyncio.sleep(0)) is True

        async def fails() -> None:
            raise RuntimeError("the story broke off")

        with pytest.raises(RuntimeError, match="broke off"):
            await up.unless_it_ends(fails())
        asyncio.get_running_loop().call_later(0.05, up.services.life.stop)
        assert await up.unless_it_ends(asyncio.sleep(60)) is False


async def test_what_fails_because_threadline_ends_is_no_fault_of_its_own(tmp_path: Path) -> None:
    async with started(tmp_path) as up:

        async def loses_its_server() -> None:
            await up.services.stopping.wait()
            raise ConnectionError("nobody answers any more")

        asyncio.get_running_loop().call_later(0.05, up.services.life.stop)
        assert await up.unless_it_ends(loses_its_server()) is False


async def test_a_second_one_on_the_same_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    async with started(tmp_path) as up:
        with pytest.raises(ConfigurationError, match="another threadline runs on"):
            async with started(tmp_path):
                pass
        assert await up.unless_it_ends(asyncio.sleep(0)) is True


async def test_an_unknown_channel_is_refused_with_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"threadline\.yaml:5: account 'support-mail': no channel 'emial': did you mean 'email'"):
        async with started(tmp_path, ACCOUNT.replace("channel: email", "channel: emial")):
            pass


def test_the_command_line_wins_over_the_settings() -> None:
    settings = Settings(http=HttpSettings(host="::1", port=81), ops=OpsSettings(port=82))
    chosen = listening(settings, host=None, port=83, ops_port=None)
    assert (chosen.http.host, chosen.http.port, chosen.ops.port) == ("::1", 83, 82)
