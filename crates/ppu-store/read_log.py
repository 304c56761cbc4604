#!/usr/bin/env python3
"""Prints sequence and length of every record of a ppu log: read_log.py DIRECTORY. FORMAT.md describes the format.

Checks every checksum and sequence, and the chain too where the module blake3 is installed. Ends with status 1 at damage.
"""
import pathlib, struct, sys
try:
    import blake3
except ImportError:
    blake3 = None

TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)

def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF

def records(directory):
    sequence = chain = log_id = None
    paths = sorted(pathlib.Path(directory, "log").glob("*.seg"))
    for path in paths:
        data = path.read_bytes()
        used = len(data.rstrip(b"\0"))
        magic, this_id, number, first, before = struct.unpack_from("<8s16sQQ32s", data)
        if magic != b"PPULOG\0\1" or struct.unpack_from("<I", data, 124)[0] != crc32c(data[:124]):
            raise ValueError(f"{path}: header is damaged")
        if log_id not in (None, this_id) or sequence not in (None, first) or chain not in (None, before):
            raise ValueError(f"{path}: does not follow the segment before it")
        log_id, sequence, chain, offset = this_id, first, before, 128
        while offset < used:
            magic, area, first, count, flags, after = struct.unpack_from("<4sIQII32s", data.ljust(offset + 56, b"\0"), offset)
            end = offset + 56 + area + 4
            end += -end % (1 << (flags & 15))
            frame = data[offset:end]
            if magic != b"PPUF" or frame[-4:] != struct.pack("<I", crc32c(frame[:-4], crc32c(log_id))):
                raise ValueError(f"{path}: byte {offset}: damaged, or a write that was cut short")
            if first != sequence:
                raise ValueError(f"{path}: byte {offset}: sequence {first} instead of {sequence}")
            at = 56
            for _ in range(count):
                length = struct.unpack_from("<I", frame, at)[0]
                if blake3:
                    chain = blake3.blake3(chain + frame[at:at + 4 + length]).digest()
                yield sequence, frame[at + 4:at + 4 + length]
                sequence, at = sequence + 1, at + 4 + length
            if blake3 and chain != after:
                raise ValueError(f"{path}: byte {offset}: the chain is broken")
            chain, offset = after, end

if __name__ == "__main__":
    try:
        for sequence, body in records(sys.argv[1]):
            print(sequence, len(body), sep="\t")
    except ValueError as damage:
        sys.exit(str(damage))
