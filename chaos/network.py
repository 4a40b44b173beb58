# SPDX-License-Identifier: Apache-2.0
"""The network of a chaos run: every connection between two leaders goes through a proxy that can be told to delay,
throttle, stop or reset it. Where it is allowed each leader has a network namespace of its own, joined to the proxies by
a veth and a bridge; else all addresses are those of the loopback device.

The leader j listens at NET.0.j+1, and the leader i dials it at NET.i+1.j+1, where the proxy of that pair listens.
"""
import asyncio
import contextlib
import random
import socket
import struct
import subprocess
import time

PORTS = (7001, 7002)  # of the listener, and of what it publishes


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


class Direction:
    """What happens to the bytes from one leader to another."""

    def __init__(self):
        self.open = asyncio.Event()
        self.open.set()
        self.cuts = 0
        self.delay = 0.0      # seconds, up to twice as many
        self.rate = None      # bytes a second
        self.random = random.Random()

    def cut(self):
        self.cuts += 1
        self.open.clear()

    def mend(self):
        self.cuts -= 1
        if self.cuts == 0:
            self.open.set()

    async def pass_on(self, reader, writer):
        try:
            while data := await reader.read(16384 if self.rate is None else 1024):
                if self.delay:
                    await asyncio.sleep(self.delay * self.random.uniform(0.5, 1))
                if self.rate:
                    await asyncio.sleep(len(data) / self.rate)
                await self.open.wait()
                writer.write(data)
                await writer.drain()
        except (ConnectionError, OSError):
            pass


class Network:
    def __init__(self, leaders, isolated):
        self.leaders = leaders
        self.isolated = isolated
        self.directions = {(i, j): Direction() for i in range(leaders) for j in range(leaders) if i != j}
        self.connections = {}  # of a pair: the writers on both sides
        self.servers = []
        self.tasks = set()
        self.lock = None
        self.net = "10.77" if isolated else self.free_net()

    def free_net(self):
        """A part of 127/8 that no other run has."""
        for second in random.Random(time.time_ns()).sample(range(16, 240), 200):
            lock = socket.socket()
            try:
                lock.bind((f"127.{second}.255.254", PORTS[0]))
                self.lock = lock
                return f"127.{second}"
            except OSError:
                lock.close()
        raise RuntimeError("no free addresses on the loopback device")

    def address(self, leader):
        return f"{self.net}.0.{leader + 1}"

    def dialled(self, i, j):
        """Where i finds j."""
        return f"tcp://{self.net}.{i + 1}.{j + 1}:{PORTS[0]}"

    def command(self, leader):
        """What a leader's program is started with."""
        return ["ip", "netns", "exec", f"leader{leader}"] if self.isolated else []

    async def start(self):
        if self.isolated:
            self.make_namespaces()
        for i, j in self.directions:
            for port in PORTS:
                self.servers.append(await asyncio.start_server(
                    lambda r, w, i=i, j=j, port=port: self.accepted(i, j, port, r, w),
                    f"{self.net}.{i + 1}.{j + 1}", port))

    def make_namespaces(self):
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "bridge", "type", "bridge")
        run("ip", "address", "add", f"{self.net}.0.254/24", "dev", "bridge")
        run("ip", "link", "set", "bridge", "up")
        for i in range(self.leaders):
            name, inside = f"leader{i}", ("ip", "-n", f"leader{i}")
            run("ip", "route", "add", "local", f"{self.net}.{i + 1}.0/24", "dev", "lo")  # the proxies' addresses
            run("ip", "netns", "add", name)
            run("ip", "link", "add", f"veth{i}", "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "link", "set", f"veth{i}", "master", "bridge", "up")
            run(*inside, "link", "set", "lo", "up")
            run(*inside, "address", "add", f"{self.address(i)}/24", "dev", "eth0")
            run(*inside, "link", "set", "eth0", "up")
            run(*inside, "route", "add", "default", "via", f"{self.net}.0.254")

    async def accepted(self, i, j, port, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        both = [writer]
        self.connections.setdefault((i, j), []).append(both)
        try:
            there, back = await asyncio.wait_for(asyncio.open_connection(self.address(j), port), 5)
            both.append(back)
            ways = [asyncio.ensure_future(self.directions[i, j].pass_on(reader, back)),
                    asyncio.ensure_future(self.directions[j, i].pass_on(there, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
        except (OSError, asyncio.TimeoutError, asyncio.CancelledError):
            pass
        finally:
            self.connections[i, j].remove(both)
            hang_up(both)

    # ---- faults ----

    def reset(self, i, j):
        """Ends all connections between two leaders at once, whatever is under way."""
        for pair in ((i, j), (j, i)):
            for both in self.connections.get(pair, []):
                hang_up(both)

    def set_link(self, leader, up):
        if self.isolated:
            run("ip", "link", "set", f"veth{leader}", "up" if up else "down")
            return
        for pair, direction in self.directions.items():
            if leader in pair:
                direction.mend() if up else direction.cut()

    async def close(self):
        for server in self.servers:
            server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if self.isolated:
            for i in range(self.leaders):
                run("ip", "link", "delete", f"veth{i}")
                run("ip", "netns", "delete", f"leader{i}")
                run("ip", "route", "delete", "local", f"{self.net}.{i + 1}.0/24", "dev", "lo")
            run("ip", "link", "delete", "bridge")
        if self.lock:
            self.lock.close()


def hang_up(writers):
    for w in writers:
        with contextlib.suppress(OSError):
            s = w.get_extra_info("socket")
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
        w.transport.abort()
