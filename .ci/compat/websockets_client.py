"""Python websockets against danmakud: websockets_client.py ws://HOST:PORT

Exit status 0 and "ok", or 1 and a traceback.
"""

import asyncio
import json
import sys

import websockets

SUBPROTOCOL = "danmaku.v1.json"


async def until(socket, *types):
    """Returns the first messages of these types, by type, in any order."""
    found = {}
    while len(found) < len(types):
        message = await socket.recv()
        assert isinstance(message, str), "messages are text"
        message = json.loads(message)
        assert message["type"] in types, f"unexpected {message}"
        found[message["type"]] = message
    return found


async def run(base):
    async with websockets.connect(
        f"{base}/ws/python?history=0", subprotocols=[SUBPROTOCOL]
    ) as socket:
        assert socket.subprotocol == SUBPROTOCOL, socket.subprotocol
        welcome = (await until(socket, "welcome"))["welcome"]
        assert welcome["room"] == "python" and welcome["online"] == 1, welcome

        await socket.send(
            json.dumps({"type": "comment", "text": "前方高能 😀", "mode": "top", "ref": "c1"})
        )
        got = await until(socket, "ack", "batch")
        batch = got["batch"]
        assert got["ack"]["ref"] == "c1", got
        assert batch["seq"] == welcome["seq"] + 1 and len(batch["comments"]) == 1, batch
        comment = batch["comments"][0]
        assert comment["id"] == got["ack"]["id"] and comment["uid"] == welcome["uid"], got
        assert comment["text"] == "前方高能 😀" and comment["mode"] == "top", comment

        # A message in fragments, which this library makes of an iterable.
        whole = json.dumps({"type": "comment", "text": "三段"}, ensure_ascii=False)
        await socket.send([whole[:5], whole[5:-4], whole[-4:]])
        batch = (await until(socket, "batch"))["batch"]
        assert batch["comments"][0]["text"] == "三段", batch

        await socket.send("{not json")
        error = (await until(socket, "error"))["error"]
        assert error["code"] == "bad_json", error

        await socket.send(json.dumps({"type": "switch", "room": "python-2"}))
        second = (await until(socket, "welcome"))["welcome"]
        assert second["room"] == "python-2" and second["uid"] == welcome["uid"], second

        await (await socket.ping(b"are you there"))
        await socket.close(1000, "bye")
        assert socket.close_code == 1000, socket.close_code


asyncio.run(asyncio.wait_for(run(sys.argv[1]), 150))
print("ok")
