"""A model server without a model: what it says follows from what it was asked, token by token, on every machine alike.

It speaks llama.cpp's dialect: token ids in streams, prompts of text and ids, `/apply-template`, `/tokenize`. The next token
is drawn from a hash of the text so far, so an answer that goes on elsewhere must come out as if it had never moved, and any
token told twice or left out shows.
"""

import argparse
import asyncio
import contextlib
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from time import monotonic
from typing import Any

import orjson
from aiohttp import web

WORDS = 997
ARGUMENTS = '{"location": "Boston, MA", "unit": "celsius"}'
"""Of every tool that is called."""
EVERY_WORD = 7  # a word of two tokens now and then, whose first half is held back, as a character of many bytes is


class Talker:
    """One server. `pause_s` is the time between tokens; `fail` is the chance that a stream breaks at a token."""

    def __init__(self, *, pause_s: float = 0.0, fail: float = 0.0, seed: int = 0) -> None:
        self.pause_s, self.fail = pause_s, fail
        self._chance = random.Random(seed)  # noqa: S311 (faults, not secrets)
        self.asked: list[dict[str, Any]] = []
        self.said = 0  # tokens

    def app(self) -> web.Application:
        """Its addresses."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._models)
        app.router.add_get("/said", self._count)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._complete)
        app.router.add_post("/v1/embeddings", self._embed)
        app.router.add_post("/apply-template", self._template)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/detokenize", self._detokenize)
        return app

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": []})

    async def _count(self, _request: web.Request) -> web.Response:
        return web.json_response({"tokens": self.said})

    async def _template(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        return web.json_response({"prompt": rendered(body["messages"])})

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        return web.json_response({"tokens": [int(word[1:]) for word in body["content"].split()]})

    async def _detokenize(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        return web.json_response({"content": "".join(text_of(one) for one in body["tokens"])})

    async def _embed(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        given = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [{"object": "embedding", "index": nth, "embedding": [0.25, 0.5]} for nth, _ in enumerate(given)]
        tokens = sum(tokens_in(one) for one in given)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return web.json_response({"object": "list", "data": data, "model": body["model"], "usage": usage})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        return await self._answer(request, body, rendered(body["messages"]), chat=True)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        prompt = body["prompt"]
        parts = prompt if isinstance(prompt, list) else [prompt]
        return await self._answer(request, body, "".join(one if isinstance(one, str) else text_of(one) for one in parts))

    async def _answer(
        self, request: web.Request, body: dict[str, Any], prompt: str, *, chat: bool = False
    ) -> web.StreamResponse:
        self.asked.append(body)
        limit, stop = int(body.get("max_tokens") or 64), body.get("stop")
        inside = tokens_in(prompt)
        if inside > 4_000:
            error = {"message": f"the request exceeds the available context size ({inside} tokens)", "code": 400}
            return web.json_response({"error": error | {"type": "exceed_context_size_error"}}, status=400)
        if body.get("tools") and body.get("tool_choice") == "required":
            return await self._call(request, body["tools"][0]["function"]["name"], inside, stream=bool(body.get("stream")))
        if body.get("stream"):
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            with contextlib.suppress(ConnectionError):  # whoever asked has gone
                await self._stream(request, response, body, Speech(prompt, limit, stop), inside, chat=chat)
            return response
        said = list(Speech(prompt, limit, stop))
        self.said += len(said)
        await asyncio.sleep(self.pause_s * len(said))
        text = "".join(piece for _, piece, _ in said)
        message: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        choice = {"index": 0, **message, "finish_reason": "length", "logprobs": None}
        return web.json_response({"id": "x", "object": "x", "choices": [choice], "usage": usage(inside, len(said))})

    @staticmethod
    async def _call(request: web.Request, name: str, inside: int, *, stream: bool) -> web.StreamResponse:
        """A call of the first tool, in the pieces in which server programs tell one."""
        head = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
        if not stream:
            message = {"role": "assistant", "content": None, "tool_calls": [_argued(head, ARGUMENTS)]}
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": None}
            return web.json_response({"id": "x", "object": "x", "choices": [choice], "usage": usage(inside, 8)})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        half = len(ARGUMENTS) // 2
        parts = [
            {"index": 0, **head},
            *({"index": 0, "function": {"arguments": one}} for one in (ARGUMENTS[:half], ARGUMENTS[half:])),
        ]
        for part in parts:
            await response.write(_event({"choices": [{"index": 0, "delta": {"tool_calls": [part]}, "finish_reason": None}]}))
        await response.write(_event({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}))
        await response.write(_event({"choices": [], "usage": usage(inside, 8)}) + b"data: [DONE]\n\n")
        return response

    async def _stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        body: dict[str, Any],
        speech: "Speech",
        inside: int,
        *,
        chat: bool,
    ) -> None:
        await response.prepare(request)
        if body.get("return_progress"):
            progress = {"total": inside, "cache": 0, "processed": inside, "time_ms": 0}
            await response.write(_event({"choices": [_said("", chat=chat)], "prompt_progress": progress}))
        began, number = monotonic(), 0
        for token, piece, held in speech:
            number += 1
            self.said += 1
            if self.pause_s:
                await asyncio.sleep(max(0.0, began + number * self.pause_s - monotonic()))
            if self.fail and self._chance.random() < self.fail:
                if request.transport is not None:
                    request.transport.abort()
                return
            if held:
                continue
            choice = _said(piece, chat=chat)
            if body.get("n_probs"):
                raw = list(piece.encode())
                top = {"id": token, "token": piece, "bytes": raw, "prob": 1.0}
                choice["logprobs"] = {"content": [{**top, "top_probs": [top]}]}
            event: dict[str, Any] = {"choices": [choice]}
            if body.get("timings_per_token"):
                event["timings"] = {"predicted_n": number}
            await response.write(_event(event))
        await response.write(_event({"choices": [{**_said("", chat=chat), "finish_reason": speech.reason}]}))
        await response.write(_event({"choices": [], "usage": usage(inside, number)}) + b"data: [DONE]\n\n")


class Speech:
    """What is said after a prompt: (token, piece of text, whether it is held back)."""

    def __init__(self, prompt: str, limit: int, stop: Any) -> None:
        self._prompt, self._limit = prompt, limit
        self._stops = [stop] if isinstance(stop, str) else list(stop or ())
        self.reason = "length"

    def __iter__(self) -> Iterator[tuple[int, str, bool]]:
        state = blake2b(self._prompt.encode(), digest_size=8)
        waiting, text = "", ""
        for _ in range(self._limit):
            token = int.from_bytes(state.digest()[:4], "big") % WORDS
            piece = text_of(token)
            state.update(piece.encode())
            text += piece
            if any(stop in text for stop in self._stops):
                self.reason = "stop"
                return
            held = token % EVERY_WORD == 0
            waiting += piece
            yield token, "" if held else waiting, held
            if not held:
                waiting = ""
        if waiting:
            self.reason = "length"


def text_of(token: int) -> str:
    """A token's text."""
    return f" w{token}"


def rendered(messages: Sequence[Mapping[str, Any]]) -> str:
    """A conversation as the model sees it."""
    return "".join(f"<|{one['role']}|>{one['content']}" for one in messages) + "<|assistant|>"


def tokens_in(prompt: str) -> int:
    """How many tokens a text has here: words and marks."""
    return prompt.count(" ") + prompt.count("<|") + 1


def answer_to(prompt: str, limit: int, stop: Any = None) -> str:
    """What is told, whole."""
    return "".join(piece for _, piece, _ in Speech(prompt, limit, stop))


def usage(inside: int, said: int) -> dict[str, int]:
    """OpenAI's usage object."""
    return {"prompt_tokens": inside, "completion_tokens": said, "total_tokens": inside + said}


def _said(piece: str, *, chat: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"delta": {"content": piece or None}} if chat else {"text": piece}
    return {"index": 0, **told, "logprobs": None, "finish_reason": None}


def _argued(call: dict[str, Any], arguments: str) -> dict[str, Any]:
    return {**call, "function": {**call["function"], "arguments": arguments}}


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(document) + b"\n\n"


def main() -> None:
    """Run one, until it is killed; prints its port."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--fail", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    async def serve() -> None:
        runner = web.AppRunner(Talker(pause_s=given.pause, fail=given.fail, seed=given.seed).app(), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        os.write(1, f"{runner.addresses[0][1]}\n".encode())
        await asyncio.Event().wait()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
