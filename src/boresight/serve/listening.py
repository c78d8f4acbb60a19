"""Where a server listens, whom it lets in, and how it runs; it loads no models, which would take seconds."""

import gc
import logging
import os
import socket
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from boresight.errors import UserError

SERVER_KEY = "BORESIGHT_SERVE_API_KEY"
"""The key that clients must show; BORESIGHT_API_KEY is the one that we show to an upstream."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
BACKLOG = 2048
SWITCH_SECONDS = 0.0005
"""How long a thread that writes a prompt may keep the streams waiting for the interpreter. Python's own 5 ms
would be what they wait for most."""
GRACE_SECONDS = 3
"""For streams that run when the server is told to stop."""


def read_keys(file: Path | None) -> list[str]:
    """The keys that clients may show: the lines of a file, and the environment's.

    Raises:
        UserError: the file cannot be read or has none.
    """
    keys = [os.environ[SERVER_KEY].strip()] if os.environ.get(SERVER_KEY, "").strip() else []
    if file is None:
        return keys
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: the keys cannot be read ({type(error).__name__})") from error
    if not any(lines):
        raise UserError(f"{file}: has no key; one a line is expected")
    return keys + [line for line in lines if line]


def allowed_hosts(host: str, keys: Sequence[str], no_key: bool) -> Sequence[str]:
    """What `Host` headers may say; empty for anything.

    Without a key, a server on this machine answers to the machine's own names alone, so that no web page can
    reach it through a name that it rebinds.

    Raises:
        UserError: others could reach the server, and it would ask nobody for a key.
    """
    if keys or no_key:
        return ()
    if not _is_loopback(host):
        raise UserError(
            f"--host {host}: anybody who reaches this address could use the model; "
            f"set a key (--api-key-file, {SERVER_KEY}) or say --no-key"
        )
    return LOOPBACK_NAMES


def bind(host: str, port: int) -> socket.socket:
    """The server's socket, before models are loaded: it may be taken. Who comes until they are waits.

    Raises:
        UserError: it is.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        at = socket.socket(family, socket.SOCK_STREAM)
        at.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        at.bind((host, port))
        at.listen(BACKLOG)  # until then another server may have the same port
        return at
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot listen at {host}:{port}: {reason}; choose another --port") from error


def address_of(at: socket.socket) -> str:
    """A bound socket's address, as in a URL."""
    host, port = at.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def log_requests() -> None:
    """Let our log, and what uvicorn has to complain of, appear on standard error; nobody else's."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    for name, level in (("boresight.serve", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.addHandler(handler)


def configured(app: FastAPI) -> uvicorn.Config:
    """How the app is served."""
    return uvicorn.Config(
        app,
        backlog=BACKLOG,
        log_config=None,
        access_log=False,  # it would log queries
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def run(app: FastAPI, at: socket.socket) -> None:
    """Serve until told to stop."""
    sys.setswitchinterval(SWITCH_SECONDS)
    # What was loaded stays. To look through it again and again would stop all streams each time.
    gc.collect()
    gc.freeze()
    uvicorn.Server(configured(app)).run(sockets=[at])


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
