"""A frames.log as the contract wants it, byte for byte: for every implementation of readers and writers."""

FRAMES = [
    b'{"type":"attempt.starting","at_us":1,"run":"r","fence":1}',
    b'{"type":"call.ended","at_us":2,"name":"\xc3\xa9t\xc3\xa9"}',
    b"{}",
]

LOG = bytes.fromhex(
    "00000039b3cdd6d600000000000000017b2274797065223a22617474656d70742e7374617274696e67222c2261745f75"
    "73223a312c2272756e223a2272222c2266656e6365223a317d0000002e3709466500000000000000027b227479706522"
    "3a2263616c6c2e656e646564222c2261745f7573223a322c226e616d65223a22c3a974c3a9227d0000000203b37b9300"
    "000000000000037b7d"
)
