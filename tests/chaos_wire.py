"""A TCP wire to a server that can be cut, hung, made deaf, or cut at one end only."""

import contextlib
import socket
import struct
import threading

_NO_LINGER = struct.pack("ii", 1, 0)
"""Closing sends a reset, as a firewall does that has forgotten a connection."""


class Wire:
    """`with Wire(5432) as wire:` listens on `wire.port` and passes everything on."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._flows = threading.Event()
        self._flows.set()
        self._deaf = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._orphans: set[socket.socket] = set()
        self._mutex = threading.Lock()

    def __enter__(self) -> "Wire":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.mend()
        self.cut()

    def cut(self) -> None:
        """Both ends of every connection are told at once that it is gone."""
        for client, server in self._taken():
            self._orphans.discard(server)
            _reset(client)
            _reset(server)

    def cut_from_clients(self) -> None:
        """The clients are told; the server goes on believing in them until `cut`."""
        with self._mutex:
            for client, server in self._pairs:
                self._orphans.add(server)
                _reset(client)

    def hang(self) -> None:
        """Nothing passes until `mend`, and nobody is told."""
        self._flows.clear()

    def deafen(self) -> None:
        """What clients say arrives; what the server answers is lost. Until `mend`."""
        self._deaf = True

    def mend(self) -> None:
        self._deaf = False
        self._flows.set()

    def _taken(self) -> list[tuple[socket.socket, socket.socket]]:
        with self._mutex:
            pairs, self._pairs = self._pairs, []
        return pairs

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port), timeout=5)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._mutex:
                self._pairs.append((client, server))
            threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()
            threading.Thread(target=self._pass_back, args=(client, server), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                self._flows.wait()
                server.sendall(data)
        with contextlib.suppress(OSError):  # also after a reset: the server is told of a client that died
            self._flows.wait()
            if server not in self._orphans:
                server.shutdown(socket.SHUT_WR)

    def _pass_back(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                self._flows.wait()
                if self._deaf:
                    continue
                with contextlib.suppress(OSError):  # what the client does not hear is still read, so the server goes on
                    client.sendall(data)
        with contextlib.suppress(OSError):
            self._flows.wait()
            client.shutdown(socket.SHUT_WR)


def _reset(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        one.shutdown(socket.SHUT_RDWR)
    one.close()
