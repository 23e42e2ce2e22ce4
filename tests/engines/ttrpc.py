"""Calls of containerd's task service made straight to a shim: what ctr has no command for."""
import json
import socket
import struct

from common import PATIENCE, Failed


def number(n):
    out = b""
    while n > 0x7F:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def encode(fields):
    """{field number: int, str, bytes or such a dict} as a protobuf message."""
    out = b""
    for field, value in fields.items():
        if isinstance(value, int):
            out += number(field << 3) + number(value)
            continue
        if isinstance(value, dict):
            value = encode(value)
        if isinstance(value, str):
            value = value.encode()
        out += number(field << 3 | 2) + number(len(value)) + value
    return out


def decode(data):
    """{field number: the last value}."""
    def take():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    at, fields = 0, {}
    while at < len(data):
        tag = take()
        if tag & 7 == 0:
            fields[tag >> 3] = take()
        else:
            length = take()
            fields[tag >> 3] = data[at:at + length]
            at += length
    return fields


class Refused(Failed):
    pass


class Shim:
    """A shim, by the address that it left in its bundle."""

    def __init__(self, bundle):
        with open(f"{bundle}/address") as file:
            self.address = file.read().strip().removeprefix("unix://")

    def call(self, method, request, timeout=PATIENCE):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(timeout)
            s.connect(self.address)
            payload = encode({1: "containerd.task.v2.Task", 2: method, 3: encode(request)})
            s.sendall(struct.pack(">IIBB", len(payload), 1, 1, 0) + payload)
            data = b""
            while len(data) < 10 or len(data) < 10 + struct.unpack(">I", data[:4])[0]:
                more = s.recv(65536)
                if not more:
                    raise Failed(f"{method}: the shim hung up")
                data += more
        response = decode(data[10:])
        status = decode(response.get(1, b""))
        if status.get(1):
            raise Refused(status.get(2, b"").decode())
        return decode(response.get(2, b""))

    def update(self, id, resources):
        self.call("Update", {1: id, 2: {1: "linux.resources", 2: json.dumps(resources)}})

    def exec(self, id, exec_id, args, terminal=False, stdin="", stdout="", stderr=""):
        process = {"cwd": "/", "args": args, "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}, "terminal": terminal}
        self.call("Exec", {1: id, 2: exec_id, 3: int(terminal), 4: stdin, 5: stdout, 6: stderr,
                           7: {1: "process", 2: json.dumps(process)}})
        return self.call("Start", {1: id, 2: exec_id})[1]

    def wait(self, id, exec_id=""):
        return self.call("Wait", {1: id, 2: exec_id}).get(1, 0)

    def delete(self, id, exec_id=""):
        return self.call("Delete", {1: id, 2: exec_id})

    def close_stdin(self, id, exec_id):
        self.call("CloseIO", {1: id, 2: exec_id, 3: 1})
