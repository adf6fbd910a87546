"""What schemathesis cannot know of Oversync. Loaded by Tools/make/schemathesis.sh."""

import json

import schemathesis
from hypothesis import strategies

# Seconds that a long poll of an empty page may last, and may be made to last here.
LONGEST_WAIT, WAIT = 55, 1
INTEGERS = {"source_change_id", "server_version", "lost_version"}


@schemathesis.hook
def before_call(ctx, case, kwargs):
    query = case.query or {}
    wait = str(query.get("wait", ""))
    if wait.isascii() and wait.isdigit() and WAIT < int(wait) <= LONGEST_WAIT:
        query["wait"] = WAIT
    # JSON Schema takes 1.0 for an integer. Oversync takes it for a number that may have lost digits on its way.
    changes = case.body.get("changes") if isinstance(case.body, dict) else None
    for change in changes if isinstance(changes, list) else []:
        if not isinstance(change, dict):
            continue
        for name in INTEGERS & change.keys():
            if isinstance(change[name], float) and change[name].is_integer():
                change[name] = int(change[name])


# Bodies of protobuf: what Shared/Protos/Definitions/wire.proto says, in the order of its fields.
VARINT, BYTES = 0, 2
SMALLEST, LARGEST = -(2**63), 2**63 - 1


def varint(number):
    """A number of 64 bits as protobuf writes it; negative ones as their complement."""
    number &= 2**64 - 1
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(digits) + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def message(fields):
    return b"".join(field(number, value) for number, value in fields if value is not None)


integers = strategies.one_of(strategies.none(), strategies.integers(0, 9), strategies.integers(SMALLEST, LARGEST))
texts = strategies.one_of(strategies.none(), strategies.text())
changes = strategies.tuples(
    integers,
    texts | strategies.just("business"),
    texts | strategies.sampled_from(["users", "posts", "currencies"]),
    texts | strategies.sampled_from(["INSERT", "UPDATE", "DELETE"]),
    texts | strategies.uuids().map(str),
    integers,
    texts
    | strategies.dictionaries(strategies.text() | strategies.just("name"), strategies.text() | strategies.integers())
    .map(json.dumps),
    integers,
).map(lambda values: message(enumerate(values, start=1)))
uploads = strategies.lists(changes, max_size=20).map(lambda each: message((1, change) for change in each))
schemathesis.openapi.media_type("application/x-protobuf", uploads)


@schemathesis.serializer("application/x-protobuf")
def as_it_is(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode()
