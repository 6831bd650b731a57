"""The command line as a person has it, over a stack that runs."""

import asyncio
import sys

from cli.stack import StackOptions


async def davylamp(options: StackOptions, *arguments: str, **environment: str) -> tuple[int, str]:
    """Its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", *arguments),
        env={**options.service_environment(), "DAVYLAMP_URL": options.status_url, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()
