"""Requests that cannot be decoded are answered, not dropped.

grpc answers bytes that do not parse with a bare UNKNOWN. Here they become an `Undecodable`, which
the interceptor turns into INVALID_ARGUMENT naming the field. The commonest case by far is a
string that is not UTF-8: to name it, the message is parsed once more by a twin of its type in
which every string is bytes.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.message import DecodeError, Message

from servicekit.errors import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Undecodable", "lenient"]


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Stands in for a request whose bytes do not parse."""

    violations: tuple[Violation, ...]


def lenient(
    deserialize: Callable[[bytes], Any], message_type: type[Message] | None
) -> Callable[[bytes], Any]:
    """A deserializer that returns `Undecodable` where the given one fails."""

    def decode(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return Undecodable(tuple(_violations(data, message_type)))

    return decode


def _violations(data: bytes, message_type: type[Message] | None) -> list[Violation]:
    malformed = [Violation("", "the bytes are not a message of the expected type")]
    if message_type is None:
        return malformed
    twin = _bytes_twin(message_type.DESCRIPTOR)()
    try:
        twin.ParseFromString(data)
    except DecodeError:
        return malformed
    rule = "must be valid UTF-8; decode or replace the bytes before sending"
    return [Violation(path, rule) for path in _not_utf8(twin, message_type.DESCRIPTOR)] or malformed


def _not_utf8(twin: Message, original: Any) -> Iterator[str]:
    """The paths of fields that are strings in the original and hold something else."""
    for field, value in twin.ListFields():
        model = original.fields_by_name[field.name]
        is_list = not isinstance(value, bytes | Message) and field.is_repeated
        if model.type not in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE):
            continue
        for index, item in enumerate(value if is_list else [value]):
            path = f"{field.name}[{index}]" if is_list else field.name
            if isinstance(item, Message):
                yield from (f"{path}.{inner}" for inner in _not_utf8(item, model.message_type))
            elif isinstance(item, bytes) and not _is_utf8(item):
                yield path


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@functools.cache
def _bytes_twin(descriptor: Descriptor) -> type[Message]:
    """The same message type with every string field declared as bytes, which the wire allows."""
    pool = descriptor_pool.DescriptorPool()
    _add_with_imports(pool, descriptor.file, set())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(descriptor.full_name))


def _add_with_imports(
    pool: descriptor_pool.DescriptorPool, file: FileDescriptor, done: set[str]
) -> None:
    if file.name in done:
        return
    done.add(file.name)
    for imported in file.dependencies:
        _add_with_imports(pool, imported, done)
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)
    for message in proto.message_type:
        _strings_to_bytes(message)
    pool.Add(proto)


def _strings_to_bytes(message: descriptor_pb2.DescriptorProto) -> None:
    # Keys of maps cannot be bytes; on the wire a map is a list of entries anyway.
    message.options.ClearField("map_entry")
    for field in message.field:
        if field.type == descriptor_pb2.FieldDescriptorProto.TYPE_STRING:
            field.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
    for nested in message.nested_type:
        _strings_to_bytes(nested)
