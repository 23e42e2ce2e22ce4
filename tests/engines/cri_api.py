"""A client of CRI: of `runtime.v1` (k8s.io/cri-api) the calls and fields that the checks use, and the streams behind its URLs."""
import base64
import json
import os
import select
import socket
import struct
import time
import urllib.parse

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from common import PATIENCE, Failed

# One line a message: NUMBER NAME TYPE. Types: s string, y bytes, b bool, i any integer or enumeration, m map of strings, else
# a message; `*` says repeated.
MESSAGES = """
Metadata: 1 name s, 2 uid s, 3 namespace s
ContainerMetadata: 1 name s, 2 attempt i
NamespaceOption: 1 network i, 2 pid i, 3 ipc i, 4 target_id s
Int64Value: 1 value i
SandboxSecurity: 1 namespace_options NamespaceOption, 4 readonly_rootfs b, 6 privileged b
LinuxSandbox: 1 cgroup_parent s, 2 security_context SandboxSecurity, 3 sysctls m
PortMapping: 1 protocol i, 2 container_port i, 3 host_port i
DNSConfig: 1 servers *s, 2 searches *s
PodSandboxConfig: 1 metadata Metadata, 2 hostname s, 3 log_directory s, 4 dns_config DNSConfig, 6 labels m, 7 annotations m, 8 linux LinuxSandbox
RunPodSandboxRequest: 1 config PodSandboxConfig, 2 runtime_handler s
RunPodSandboxResponse: 1 pod_sandbox_id s
Pod: 1 pod_sandbox_id s
Nothing:
PodIP: 1 ip s
SandboxNetwork: 1 ip s
PodSandboxStatus: 1 id s, 3 state i, 5 network SandboxNetwork
PodSandboxStatusResponse: 1 status PodSandboxStatus, 2 info m
PodSandbox: 1 id s, 3 state i, 7 runtime_handler s
ListPodSandboxResponse: 1 items *PodSandbox
ImageSpec: 1 image s
KeyValue: 1 key s, 2 value s
Mount: 1 container_path s, 2 host_path s, 3 readonly b
Resources: 1 cpu_period i, 2 cpu_quota i, 3 cpu_shares i, 4 memory_limit_in_bytes i, 5 oom_score_adj i
Capability: 1 add_capabilities *s, 2 drop_capabilities *s
SecurityProfile: 1 profile_type i, 2 localhost_ref s
Security: 1 capabilities Capability, 2 privileged b, 3 namespace_options NamespaceOption, 5 run_as_user Int64Value, 6 run_as_username s, 7 readonly_rootfs b, 8 supplemental_groups *i, 11 no_new_privs b, 12 run_as_group Int64Value, 13 masked_paths *s, 14 readonly_paths *s, 15 seccomp SecurityProfile
LinuxContainer: 1 resources Resources, 2 security_context Security
ContainerConfig: 1 metadata ContainerMetadata, 2 image ImageSpec, 3 command *s, 4 args *s, 5 working_dir s, 6 envs *KeyValue, 7 mounts *Mount, 9 labels m, 11 log_path s, 12 stdin b, 13 stdin_once b, 14 tty b, 15 linux LinuxContainer
CreateContainerRequest: 1 pod_sandbox_id s, 2 config ContainerConfig, 3 sandbox_config PodSandboxConfig
Id: 1 container_id s
StopContainerRequest: 1 container_id s, 2 timeout i
Container: 1 id s, 2 pod_sandbox_id s, 3 metadata ContainerMetadata, 6 state i
ListContainersResponse: 1 containers *Container
ContainerStatus: 1 id s, 3 state i, 5 started_at i, 6 finished_at i, 7 exit_code i, 10 reason s, 11 message s, 15 log_path s
ContainerStatusRequest: 1 container_id s, 2 verbose b
ContainerStatusResponse: 1 status ContainerStatus, 2 info m
ExecSyncRequest: 1 container_id s, 2 cmd *s, 3 timeout i
ExecSyncResponse: 1 stdout y, 2 stderr y, 3 exit_code i
ExecRequest: 1 container_id s, 2 cmd *s, 3 tty b, 4 stdin b, 5 stdout b, 6 stderr b
AttachRequest: 1 container_id s, 2 stdin b, 3 tty b, 4 stdout b, 5 stderr b
PortForwardRequest: 1 pod_sandbox_id s, 2 port *i
Url: 1 url s
UInt64Value: 1 value i
CpuUsage: 1 timestamp i, 2 usage_core_nano_seconds UInt64Value
MemoryUsage: 1 timestamp i, 2 working_set_bytes UInt64Value, 4 usage_bytes UInt64Value
Stats: 2 cpu CpuUsage, 3 memory MemoryUsage
StatsResponse: 1 stats Stats
UpdateRequest: 1 container_id s, 2 linux Resources
Image: 1 id s, 2 repo_tags *s
ListImagesResponse: 1 images *Image
VersionResponse: 2 runtime_name s, 3 runtime_version s
Condition: 1 type s, 2 status b, 4 message s
RuntimeStatus: 1 conditions *Condition
StatusResponse: 1 status RuntimeStatus
"""

CALLS = {
    "Version": ("Nothing", "VersionResponse"), "Status": ("Nothing", "StatusResponse"),
    "RunPodSandbox": ("RunPodSandboxRequest", "RunPodSandboxResponse"), "StopPodSandbox": ("Pod", "Nothing"),
    "RemovePodSandbox": ("Pod", "Nothing"), "PodSandboxStatus": ("Pod", "PodSandboxStatusResponse"),
    "ListPodSandbox": ("Nothing", "ListPodSandboxResponse"),
    "CreateContainer": ("CreateContainerRequest", "Id"), "StartContainer": ("Id", "Nothing"),
    "StopContainer": ("StopContainerRequest", "Nothing"), "RemoveContainer": ("Id", "Nothing"),
    "ListContainers": ("Nothing", "ListContainersResponse"), "ReopenContainerLog": ("Id", "Nothing"),
    "ContainerStatus": ("ContainerStatusRequest", "ContainerStatusResponse"),
    "ExecSync": ("ExecSyncRequest", "ExecSyncResponse"), "Exec": ("ExecRequest", "Url"), "Attach": ("AttachRequest", "Url"),
    "PortForward": ("PortForwardRequest", "Url"), "ContainerStats": ("Id", "StatsResponse"),
    "UpdateContainerResources": ("UpdateRequest", "Nothing"),
}


def messages():
    """Classes of the messages by name."""
    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {"s": kinds.TYPE_STRING, "y": kinds.TYPE_BYTES, "b": kinds.TYPE_BOOL, "i": kinds.TYPE_INT64}
    file = descriptor_pb2.FileDescriptorProto(name="cri", package="cri", syntax="proto3")
    for line in MESSAGES.strip().splitlines():
        name, fields = line.split(":")
        message = file.message_type.add(name=name)
        for number, field, kind in (f.split() for f in fields.split(",") if f.strip()):
            repeated = kind[0] == "*" or kind == "m"
            added = message.field.add(name=field, number=int(number), label=kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL)
            kind = kind.lstrip("*")
            if kind in scalars:
                added.type = scalars[kind]
                continue
            added.type = kinds.TYPE_MESSAGE
            added.type_name = f".cri.{kind}"
            if kind == "m":
                entry = message.nested_type.add(name="".join(w.capitalize() for w in field.split("_")) + "Entry")
                entry.options.map_entry = True
                for at, part in (1, "key"), (2, "value"):
                    entry.field.add(name=part, number=at, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_STRING)
                added.type_name = f".cri.{name}.{entry.name}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return {m.name: factory.GetPrototype(pool.FindMessageTypeByName(f"cri.{m.name}")) for m in file.message_type}


class Refused(Failed):
    """The engine answered with an error."""


class Client:
    def __init__(self, path):
        self.messages = messages()
        self.channel = grpc.insecure_channel(f"unix:{path}")

    def call(self, name, request=None, timeout=PATIENCE):
        want, give = (self.messages[m] for m in CALLS[name])
        call = self.channel.unary_unary(f"/runtime.v1.RuntimeService/{name}", want.SerializeToString, give.FromString)
        try:
            return call(json_format.ParseDict(request or {}, want()), timeout=timeout)
        except grpc.RpcError as e:
            raise Refused(f"{name}: {e.code().name}: {e.details()}") from None

    def images(self):
        give = self.messages["ListImagesResponse"]
        call = self.channel.unary_unary("/runtime.v1.ImageService/ListImages", lambda _: b"", give.FromString)
        return [tag for image in call(None, timeout=PATIENCE).images for tag in image.repo_tags]


STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)


class Stream:
    """The channels of Exec, Attach or PortForward over a websocket (RFC 6455, subprotocol v4.channel.k8s.io)."""

    def __init__(self, url, **query):
        parts = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE)
        path = parts.path + ("?" + urllib.parse.urlencode(query) if query else "")
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n").encode())
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise Failed(f"{url}: {head!r} {self.buffer!r}")
        self.ended = False
        self.got = {}

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Failed(f"the stream ended after {self.buffer[-200:]!r}")
        self.buffer += data

    def take(self, count):
        while len(self.buffer) < count:
            self.more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def send(self, channel, data):
        self.frame(2, bytes([channel]) + data)

    def frame(self, kind, data):
        size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
        mask = os.urandom(4)
        self.socket.sendall(bytes([0x80 | kind]) + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def receive(self):
        """Sorts one frame into the channels."""
        kind, size = self.take(2)
        size &= 0x7f
        if size >= 126:
            size = int.from_bytes(self.take(2 if size == 126 else 8), "big")
        data = self.take(size)
        if kind & 15 == 8:
            self.ended = True
        elif kind & 15 in (1, 2) and data:
            self.got[data[0]] = self.got.get(data[0], b"") + data[1:]

    def until(self, channel, word, patience=PATIENCE):
        end = time.monotonic() + patience
        while word not in self.got.get(channel, b""):
            if self.ended or time.monotonic() > end:
                raise Failed(f"no {word!r} in {self.got!r}")
            self.receive()
        return self.got[channel]

    def rest(self):
        """Everything up to the end; gives output, errors and the exit code."""
        while not self.ended:
            self.receive()
        self.socket.close()
        status = json.loads(self.got.get(ERROR) or "{}")
        causes = status.get("details", {}).get("causes", [])
        code = next((int(c["message"]) for c in causes if c["reason"] == "ExitCode"), None if causes else 0)
        if status.get("status") not in ("Success", None) and code is None:
            raise Failed(str(status))
        return self.got.get(STDOUT, b"").decode(), self.got.get(STDERR, b"").decode(), code

    def close(self):
        self.frame(8, b"\x03\xe8")
        while select.select([self.socket], [], [], 2)[0] and self.socket.recv(65536):
            pass
        self.socket.close()
