"""Python websockets against danmakud echo: echo_client.py ws://HOST:PORT

Exit status 0 and "ok", or 1 and a traceback.
"""

import asyncio
import os
import sys

import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

COMMENT = "前方高能 😀 "

MESSAGES = [
    "",
    "a",
    COMMENT,
    COMMENT * 50_000,
    os.urandom(70_000),
]
# Once plain and once compressed: windows have 32 KiB at most.
LONGEST = b"0123456789" * 1_600_000


async def echo(base, *extensions, more=()):
    async with websockets.connect(
        base, extensions=extensions or None, compression=None, max_size=17 << 20
    ) as socket:
        assert len(socket.extensions) == len(extensions[:1]), socket.extensions
        for message in (*MESSAGES, *more):
            await socket.send(message)
            assert await socket.recv() == message, "another message came back"
        await socket.send(COMMENT[i : i + 1] for i in range(len(COMMENT)))
        assert await socket.recv() == COMMENT, "fragments came back as something else"
        await (await socket.ping("are you there"))
        await socket.close(4000, "bye")
        assert socket.close_code == 4000, socket.close_code


async def run(base):
    await echo(base, more=[LONGEST])
    for bits in (None, *range(8, 16)):
        await echo(
            base,
            ClientPerMessageDeflateFactory(
                server_max_window_bits=bits, client_max_window_bits=True
            ),
            more=[] if bits else [LONGEST],
        )
    await echo(base, ClientPerMessageDeflateFactory(client_max_window_bits=9))
    await echo(base, ClientPerMessageDeflateFactory(True, True, 10, 10))


asyncio.run(asyncio.wait_for(run(sys.argv[1]), 150))
print("ok")
