"""Classic BPF from plain Python: the few instructions for choosing a socket of a reuse-port group (linux/filter.h)."""

from __future__ import annotations

import ctypes
import socket
import struct
import sys

SO_ATTACH_FILTER = 26
SO_ATTACH_REUSEPORT_CBPF = 51
LOAD_ABSOLUTE = 0x20  # BPF_LD | BPF_W | BPF_ABS
LOAD_BYTE = 0x30  # BPF_LD | BPF_B | BPF_ABS
MODULO = 0x94  # BPF_ALU | BPF_MOD | BPF_K
EXCLUSIVE_OR_X = 0xAC  # BPF_ALU | BPF_XOR | BPF_X
TO_X = 0x07  # BPF_MISC | BPF_TAX
JUMP = 0x05  # BPF_JMP | BPF_JA
JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JUMP_SET = 0x45  # BPF_JMP | BPF_JSET | BPF_K
MULTIPLY = 0x24  # BPF_ALU | BPF_MUL | BPF_K
SHIFT_RIGHT = 0x74  # BPF_ALU | BPF_RSH | BPF_K
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
RETURN_A = 0x16  # BPF_RET | BPF_A
RETURN = 0x06  # BPF_RET | BPF_K: the number of bytes of the packet to keep
ALL_BYTES = 0xFFFFFFFF
TCP_FLAGS = (
    13  # byte of the TCP header with the flags (RFC 9293, 3.1); a filter of a TCP socket sees the packet from there
)
SYN = 0x02
EXTENSION = 0xFFFFF000  # SKF_AD_OFF: loads at negative offsets ask the kernel instead of the packet
RANDOM = EXTENSION + 56  # SKF_AD_RANDOM
CPU = EXTENSION + 36  # SKF_AD_CPU
NETWORK = 0xFFF00000  # SKF_NET_OFF: offsets count from the network header

Instruction = tuple[int, int, int, int]


def random_of(sockets: int) -> list[Instruction]:
    """Return the program that chooses among so many sockets, each with the same probability."""
    return [(LOAD_ABSOLUTE, 0, 0, RANDOM), (MODULO, 0, 0, sockets), (RETURN_A, 0, 0, 0)]


def attach(listener: socket.socket, program: list[Instruction]) -> None:
    """Make this program choose among the sockets of the listener's group.

    Raises OSError if the kernel refuses it (Linux 4.5 or newer accepts it).
    """
    if not sys.platform.startswith("linux"):
        raise OSError("choosing a reuse-port socket with a BPF program needs Linux")
    _attach(listener, SO_ATTACH_REUSEPORT_CBPF, program)


def deafen(listener: socket.socket) -> None:
    """Make the kernel drop every SYN that arrives at a listening socket, so that the client tries again a second later;
    handshakes that have begun go on. Raises OSError."""
    program = [(LOAD_BYTE, 0, 0, TCP_FLAGS), (JUMP_SET, 0, 1, SYN), (RETURN, 0, 0, 0), (RETURN, 0, 0, ALL_BYTES)]
    _attach(listener, SO_ATTACH_FILTER, program)


def _attach(sock: socket.socket, option: int, program: list[Instruction]) -> None:
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    memory = ctypes.create_string_buffer(code)
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("HL", len(program), ctypes.addressof(memory)))
