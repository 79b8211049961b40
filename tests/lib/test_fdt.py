# SPDX-License-Identifier: BSD-3-Clause
"""kernel_c/lib/fdt.c against trees built by the `fdt` library, whole and broken."""

import struct

import fdt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ENOENT, EINVAL = -2, -22
STRUCT_FDT = 64  # more than sizeof(struct fdt)


def build_blob(*, version=17):
    """A board like QEMU's virt, with one memory reservation."""
    tree = fdt.FDT()
    values = {
        "/": {"#address-cells": 2, "#size-cells": 2, "compatible": ["linux,dummy-virt"]},
        "/memory@40000000": {"device_type": "memory", "reg": [0, 0x40000000, 1, 0x80000000]},
        "/pl011@9000000": {"compatible": ["arm,pl011", "arm,primecell"], "reg": [0, 0x9000000, 0, 0x1000]},
        "/pl011@9040000": {"compatible": ["arm,pl011x", "arm,pl011"], "reg": [0, 0x9040000, 0, 0x1000]},
        "/cpus": {"#address-cells": 1, "#size-cells": 0},
        "/cpus/cpu@0": {"reg": 0},
        "/cpus/cpu@1": {"reg": 1},
        "/soc": {"big": [1, 2], "letters": 0x41424344},
        "/soc/uart@8": {"reg": [0, 8, 16]},
        "/pci": {"#address-cells": 3, "#size-cells": 2},
        "/pci/fits@1": {"reg": [0, 1, 8, 0, 16]},
        "/pci/wide@2": {"reg": [1, 0, 8, 0, 16]},
        "/pci/odd@3": {"reg": [0, 1, 8, 0]},
        "/large": {"#address-cells": 1, "#size-cells": 3},
        "/large/size@1": {"reg": [8, 1, 0, 16]},
        "/odd@1@2": {"number": [1, 2, 3]},
        "/four": {"#address-cells": 4, "#size-cells": 1},
        "/four/node": {"reg": [0, 0, 0, 8, 16]},
        "/sizes": {"#address-cells": 1, "#size-cells": 4},
        "/sizes/node": {"reg": [8, 0, 0, 0, 16]},
        "/many": {"#address-cells": 5},
        "/many/node": {"reg": [0, 0, 0, 0, 0, 0]},
        "/many-sizes": {"#address-cells": 0, "#size-cells": 5},
        "/many-sizes/node": {"reg": [0, 0, 0, 0, 0]},
        "/none": {"#address-cells": 0, "#size-cells": 0},
        "/none/node": {"reg": [0]},
        "/long": {"#address-cells": [0, 1]},
        "/long/address@1": {"reg": [0, 1, 16]},
        "/wide": {"#size-cells": [0, 1]},
        "/wide/size@1": {"reg": [0, 1, 16]},
        "/chosen": {
            "stdout-path": "/pl011@9000000:115200",
            "linux,initrd-start": [1, 2],
            "linux,initrd-end": 3,
        },
    }
    for path, properties in values.items():
        for name, value in properties.items():
            tree.set_property(name, value, path=path)
    tree.entries.append({"address": 0x48000000, "size": 0x1000})
    return tree.to_dtb(version=version, last_comp_version=16, boot_cpuid_phys=0)


BLOB = build_blob()


def raw(prop):
    """The bytes of one of the library's properties."""
    if isinstance(prop, fdt.PropStrings):
        return b"".join(text.encode() + b"\0" for text in prop.data)
    return struct.pack(f">{len(prop.data)}I", *prop.data)


class Tree:
    """A blob in the guest and the C functions that read it."""

    def __init__(self, guest, blob, *, limit=None, align=16, skew=0):
        self.guest = guest
        self.fdt = guest.alloc(STRUCT_FDT)
        self.out = guest.alloc(16)
        # What stands around the blob looks like a tree too: reading past an end would find something.
        self.blob = guest.place(BLOB + b"\0" * skew + blob + BLOB, align=align) + len(BLOB) + skew
        self.status = guest.signed("fdt_open", self.fdt, self.blob, len(blob) if limit is None else limit)

    def node(self, function, *arguments):
        places = [self.guest.place(a.encode() + b"\0") if isinstance(a, str) else a for a in arguments]
        return self.guest.signed(function, self.fdt, *places)

    def path(self, path):
        return self.node("fdt_path", path)

    def name(self, node):
        return self.text(self.guest.call("fdt_name", self.fdt, node))

    def text(self, address):
        return self.guest.read(address, 64).split(b"\0")[0].decode() if address else None

    def numbers(self, function, *arguments, form="QQ"):
        """A function with out-parameters: its status, or the numbers."""
        self.guest.write(self.out, b"\xcc" * 16)
        sizes = [struct.calcsize(f"<{code}") for code in form]
        outs = [self.out + sum(sizes[:n]) for n in range(len(sizes))]
        status = self.node(function, *arguments, *outs)
        data = self.guest.read(self.out, sum(sizes))
        assert status == 0 or data == b"\xcc" * sum(sizes), "out-parameters stay as they were on failure"
        return struct.unpack(f"<{form}", data) if status == 0 else status

    def value(self, node, name):
        """A property's bytes."""
        where = self.place(node, name)
        return None if where is None else self.guest.read(*where)

    def place(self, node, name):
        """Where a property's bytes are in the guest, and how many."""
        text = self.guest.place(name.encode() + b"\0")
        address = self.guest.call("fdt_property", self.fdt, node, text, self.out)
        return (address, struct.unpack("<Q", self.guest.read(self.out, 8))[0]) if address else None

    def children(self, node):
        child, found = self.node("fdt_first_child", node), []
        while child >= 0:
            found.append(child)
            child = self.node("fdt_next_sibling", child)
        assert child == ENOENT
        return found


@pytest.fixture(params=[0, 1, 2, 7])
def tree(guest, request):
    """The board's tree, at several alignments."""
    tree = Tree(guest, BLOB, skew=request.param)
    assert tree.status == 0
    return tree


def test_nodes_are_those_of_the_library(tree):
    """Names, order, parents and every property's bytes, the whole tree through."""
    met = 0

    def compare(node, expected):
        nonlocal met
        met += 1
        assert tree.name(node) == ("" if expected.name == "/" else expected.name)
        for prop in expected.props:
            assert tree.value(node, prop.name) == raw(prop)
        children = tree.children(node)
        assert [tree.name(child) for child in children] == [child.name for child in expected.nodes]
        for child, other in zip(children, expected.nodes, strict=True):
            assert tree.node("fdt_parent", child) == node
            compare(child, other)

    compare(0, fdt.parse_dtb(BLOB).root)
    assert met == 31


def test_paths_match_with_and_without_unit(tree):
    """A component without unit takes the first child of that name; what follows a colon is no path."""
    assert tree.path("/") == 0
    assert tree.name(tree.path("/memory")) == "memory@40000000"
    assert tree.name(tree.path("/pl011")) == "pl011@9000000"
    assert tree.name(tree.path("/pl011@9040000")) == "pl011@9040000"
    assert tree.name(tree.path("/cpus/cpu@1")) == "cpu@1"
    assert tree.path("/pl011@9000000:115200") == tree.path("/pl011")
    assert tree.name(tree.path("/odd")) == "odd@1@2"
    for missing in ("/pl01", "/pl011@9", "/odd@1", "/cpus/cpu@2", "/memory/x"):
        assert tree.path(missing) == ENOENT
    assert tree.path("memory") == tree.path("") == EINVAL


def test_compatible_looks_at_every_string_of_the_list(tree):
    """Whole strings only, in tree order, each node once."""
    first = tree.node("fdt_next_compatible", -1, "arm,pl011")
    second = tree.node("fdt_next_compatible", first, "arm,pl011")
    assert [tree.name(first), tree.name(second)] == ["pl011@9000000", "pl011@9040000"]
    assert tree.node("fdt_next_compatible", second, "arm,pl011") == ENOENT
    assert tree.node("fdt_next_compatible", -1, "linux,dummy-virt") == 0
    assert tree.node("fdt_next_compatible", -1, "arm,pl01") == ENOENT


def test_reg_honours_the_parents_cells(tree):
    """2 + 2 at the root, 1 + 0 under /cpus, 2 + 1 where the parent says nothing; 4 at most."""
    assert tree.numbers("fdt_reg", tree.path("/memory"), 0) == (0x40000000, 0x1_80000000)
    assert tree.numbers("fdt_reg", tree.path("/memory"), 1) == ENOENT
    assert tree.numbers("fdt_reg", tree.path("/memory"), 2**64 - 1) == ENOENT
    assert tree.numbers("fdt_reg", tree.path("/cpus/cpu@1"), 0) == (1, 0)
    assert tree.numbers("fdt_reg", tree.path("/soc/uart"), 0) == (8, 16)
    assert tree.numbers("fdt_reg", tree.path("/chosen"), 0) == ENOENT
    assert tree.numbers("fdt_reg", tree.path("/pci/fits"), 0) == ((1 << 32) + 8, 16)
    assert tree.numbers("fdt_reg", tree.path("/four/node"), 0) == (8, 16)
    assert tree.numbers("fdt_reg", tree.path("/sizes/node"), 0) == (8, 16)


def test_reg_gives_what_is_asked_for(tree):
    """Either number may be left out."""
    node = tree.path("/memory")
    for wanted in (0, 1):
        tree.guest.write(tree.out, b"\xcc" * 16)
        outs = [tree.out + 8 * number if number == wanted else 0 for number in (0, 1)]
        assert tree.node("fdt_reg", node, 0, *outs) == 0
        found = struct.unpack("<2Q", tree.guest.read(tree.out, 16))
        assert found[wanted] == (0x40000000, 0x1_80000000)[wanted]
        assert found[1 - wanted] == 0xCCCCCCCC_CCCCCCCC


@pytest.mark.parametrize(
    "path",
    [
        *("/pci/wide", "/large/size", "/pci/odd", "/many/node"),
        *("/many-sizes/node", "/none/node", "/long/address", "/wide/size"),
    ],
)
def test_reg_that_makes_no_sense_is_refused(tree, path):
    """More than 64 bits; a broken last entry; more cells than there are; none; a number of cells in two."""
    assert tree.numbers("fdt_reg", tree.path(path), 0) == EINVAL


def test_numbers_and_texts_are_checked_for_their_size(tree):
    """fdt_number takes either size."""
    chosen, soc = tree.path("/chosen"), tree.path("/soc")
    assert tree.numbers("fdt_number", chosen, "linux,initrd-start", form="Q") == ((1 << 32) + 2,)
    assert tree.numbers("fdt_number", chosen, "linux,initrd-end", form="Q") == (3,)
    assert tree.numbers("fdt_u32", chosen, "linux,initrd-end", form="I") == (3,)
    assert tree.numbers("fdt_u64", chosen, "linux,initrd-end", form="Q") == EINVAL
    assert tree.numbers("fdt_u32", soc, "big", form="I") == EINVAL
    assert tree.numbers("fdt_u64", soc, "big", form="Q") == ((1 << 32) + 2,)
    for function, form in (("fdt_u32", "I"), ("fdt_u64", "Q"), ("fdt_number", "Q")):
        assert tree.numbers(function, soc, "none", form=form) == ENOENT
    assert tree.numbers("fdt_number", tree.path("/odd"), "number", form="Q") == EINVAL
    stdout = tree.guest.call("fdt_string", tree.fdt, chosen, tree.guest.place(b"stdout-path\0"))
    assert tree.text(stdout) == "/pl011@9000000:115200"
    assert tree.guest.call("fdt_string", tree.fdt, soc, tree.guest.place(b"letters\0")) == 0


def test_reservations_end_with_the_zero_entry(tree):
    """In order, until -ENOENT."""
    assert tree.numbers("fdt_reserve_entry", 0) == (0x48000000, 0x1000)
    assert tree.numbers("fdt_reserve_entry", 1) == ENOENT
    assert tree.numbers("fdt_reserve_entry", 2**63) == ENOENT


def test_offsets_that_are_no_nodes_are_refused(tree):
    """Whatever function is asked."""
    for node in (-1, -(2**31), 2, 4, len(BLOB), 2**31 - 4):
        for function in ("fdt_first_child", "fdt_next_sibling", "fdt_parent"):
            assert tree.node(function, node) == EINVAL
        assert tree.name(node) is None
        assert tree.value(node, "reg") is None
        assert tree.numbers("fdt_reg", node, 0) == EINVAL
        if node >= 0:
            assert tree.node("fdt_next_compatible", node, "arm,pl011") == EINVAL


@pytest.mark.parametrize("cut", [0, 4, 8])
def test_what_is_no_node_has_no_parent(guest, cut):
    """A value that looks like one: whether the walk ends at the root or where the tree is cut."""
    [size] = struct.unpack(">I", BLOB[36:40])
    node = b"\0\0\0\1\0\0\0\0"
    blob = BLOB.replace(struct.pack(">2I", 1, 2), node, 1)
    assert blob != BLOB
    tree = Tree(guest, put(blob, 36, size - cut))
    [structure] = struct.unpack(">I", BLOB[8:12])
    inside = blob.index(node, structure + 8) - structure
    assert tree.name(inside) == ""
    assert tree.node("fdt_parent", inside) == EINVAL


def put(blob, offset, word):
    return blob[:offset] + struct.pack(">I", word) + blob[offset + 4 :]


@pytest.mark.parametrize(
    ("blob", "status"),
    [
        (b"", ENOENT),
        (BLOB[:39], ENOENT),
        (put(BLOB, 0, 0xEDFE0DD0), ENOENT),
        (put(BLOB, 4, len(BLOB) + 1), EINVAL),
        (put(BLOB, 4, 39), EINVAL),
        (put(BLOB, 8, len(BLOB) + 4), EINVAL),
        (put(BLOB, 8, 0xFFFFFFFC), EINVAL),
        (put(BLOB, 8, struct.unpack(">I", BLOB[8:12])[0] + 2), EINVAL),
        (put(BLOB, 16, struct.unpack(">I", BLOB[16:20])[0] + 4), EINVAL),
        (put(BLOB, 12, 0xFFFFFFFF), EINVAL),
        (put(BLOB, 16, 0xFFFFFFF8), EINVAL),
        (put(BLOB, 20, 15), EINVAL),
        (put(BLOB, 24, 18), EINVAL),
        (put(BLOB, 32, len(BLOB)), EINVAL),
        (put(BLOB, 36, 0xFFFFFFFF), EINVAL),
        (put(BLOB, 36, 0), EINVAL),
    ],
)
def test_malformed_headers_are_refused(guest, blob, status):
    """Nothing there, or something there and wrong."""
    assert Tree(guest, blob).status == status


WHOLE = BLOB + bytes(-len(BLOB) % 8)


def test_the_last_reservation_may_end_with_the_tree(guest):
    """Without the zero entry behind it."""
    blob = put(put(WHOLE, 4, len(WHOLE) + 16), 16, len(WHOLE)) + struct.pack(">2Q", 5, 6)
    tree = Tree(guest, blob)
    assert tree.numbers("fdt_reserve_entry", 0) == (5, 6)
    assert tree.numbers("fdt_reserve_entry", 1) == ENOENT


@pytest.mark.parametrize(
    ("blob", "limit"),
    [
        (put(BLOB, 4, (1 << 31) - 1), 1 << 32),  # no offset of a node is larger than an int
        (put(BLOB, 24, 17), None),
        (put(put(WHOLE, 4, len(WHOLE)), 16, len(WHOLE)), None),  # no reservation, not even the zero entry
        (put(put(BLOB, 12, len(BLOB)), 32, 0), None),  # no strings, at the end
        (put(BLOB, 32, len(BLOB) - struct.unpack(">I", BLOB[12:16])[0]), None),  # up to the end
    ],
)
def test_headers_may_say_as_much_as_there_is(guest, blob, limit):
    """The last values that make sense."""
    assert Tree(guest, blob, limit=limit).status == 0


@pytest.mark.parametrize(("size", "status"), [(39, EINVAL), (40, 0)])
def test_a_tree_is_no_smaller_than_its_header(guest, size, status):
    """Though a root of 8 bytes, no strings and no reservations are all inside."""
    root, none = 28, 0  # the CPU's number, which is that of FDT_BEGIN_NODE, and the size of the strings
    header = struct.pack(">10I", 0xD00DFEED, size, root, none, none, 17, 16, 1, 0, 8)
    assert Tree(guest, header).status == status


@pytest.mark.parametrize(("cut", "kind"), [(0, 2), (1, 9), (4, 9)])
def test_the_last_word_of_the_structure_block_is_a_token(guest, cut, kind):
    """FDT_END_NODE where it is whole; else, and behind it, is FDT_END."""
    [structure, size] = (struct.unpack(">I", BLOB[at : at + 4])[0] for at in (8, 36))
    assert BLOB[structure + size - 8 : structure + size] == struct.pack(">2I", 2, 9)
    tree = Tree(guest, put(BLOB, 36, size - 4 - cut))
    kernel = guest.kernel
    assert kernel.fdt_token_at(kernel.cast(tree.fdt, "struct fdt *"), size - 8).kind == kind


def test_a_tree_of_no_such_size_is_refused(guest):
    """Offsets are ints, whatever the limit."""
    assert Tree(guest, put(BLOB, 4, 1 << 31), limit=1 << 32).status == EINVAL


def test_null_is_no_tree(guest):
    """As x0 is 0 when the boot loader had none."""
    assert guest.signed("fdt_open", guest.alloc(STRUCT_FDT), 0, 2**20) == ENOENT


def test_version_16_has_no_size_of_the_structure_block(guest):
    """The field behind its header is not read as one."""
    tree = Tree(guest, put(put(BLOB, 20, 16), 36, 0xFFFFFFFF))
    assert tree.status == 0
    assert tree.name(tree.path("/cpus/cpu@1")) == "cpu@1"


def test_nops_before_the_root_and_between_are_skipped(guest):
    """The root is node 0 all the same."""
    structure, size = struct.unpack(">I", BLOB[8:12])[0], struct.unpack(">I", BLOB[36:40])[0]
    nop = struct.pack(">I", 4)
    block = BLOB[structure : structure + size]
    stdout = b"/pl011@9000000:115200\0"
    whole = struct.pack(">2I", 3, len(stdout))  # a property of that length
    for before in (b"\0\0\0\1\0\0\0\0", b"\0\0\0\1cpus", b"\0\0\0\2\0\0\0\1chosen", whole):
        assert before in block
        block = block.replace(before, nop + before, 1)
    blob = BLOB + b"\0" * (-len(BLOB) % 4)
    blob = put(put(blob, 8, len(blob)), 36, len(block)) + block
    tree = Tree(guest, put(blob, 4, len(blob)))
    assert tree.status == 0
    assert tree.name(0) == ""
    expected = [node.name for node in fdt.parse_dtb(BLOB).root.nodes]
    assert [tree.name(child) for child in tree.children(0)] == expected
    assert tree.value(tree.path("/chosen"), "stdout-path") == stdout


def test_structure_may_end_anywhere(guest):
    """What is not whole in the structure block is not there, though bytes follow."""
    structure, size = (struct.unpack(">I", BLOB[at : at + 4])[0] for at in (8, 36))
    for cut in range(8, size):
        guest.reset()
        tree = Tree(guest, put(BLOB, 36, cut))
        assert tree.status == 0
        end = tree.blob + structure + cut
        todo = [0]
        while todo:
            node = todo.pop()
            address = guest.call("fdt_name", tree.fdt, node)
            assert address + len(tree.text(address)) < end
            for name in ("reg", "#address-cells", "stdout-path", "linux,initrd-start"):
                address, length = tree.place(node, name) or (end, 0)
                assert address + length <= end
            todo += tree.children(node)


@pytest.mark.parametrize(("cut", "is_there"), [(23, False), (24, True)])
def test_a_property_may_be_the_last_that_there_is(guest, cut, is_there):
    """The root's first one is whole after its name of 8 bytes, 12 of its own and 4 of value."""
    tree = Tree(guest, put(BLOB, 36, cut))
    assert tree.numbers("fdt_u32", 0, "#address-cells", form="I") == ((2,) if is_there else ENOENT)


def test_property_names_end_inside_the_strings_block(guest):
    """A name of which the NUL is cut off is no name."""
    strings, size = (struct.unpack(">I", BLOB[at : at + 4])[0] for at in (12, 32))
    name = b"stdout-path\0"
    whole = BLOB.index(name, strings) - strings + len(name)
    for cut in range(size + 1):
        guest.reset()
        tree = Tree(guest, put(BLOB, 32, cut))
        chosen = tree.path("/chosen")
        assert (tree.value(chosen, "stdout-path") is not None) == (cut >= whole)


WORDS = [0, 1, 2, 3, 4, 9, 64, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 1]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, len(BLOB) // 4 - 1),
            st.sampled_from(WORDS) | st.integers(0, 2**32 - 1),
        ),
        max_size=4,
    ),
    cut=st.none() | st.integers(0, len(BLOB)),
)
def test_broken_blobs_end_every_call_inside_the_blob(guest, changes, cut):
    """Whatever words change, every call returns, and what it points to lies in the blob."""
    guest.reset()
    blob = BLOB
    for word, value in changes:
        blob = put(blob, 4 * word, value)
    tree = Tree(guest, blob[:cut])
    if tree.status != 0:
        return
    limit = tree.guest.call("fdt_total_size", tree.fdt)
    assert limit <= len(blob[:cut])
    todo, met = [0], set()
    while todo:
        node = todo.pop()
        assert node not in met
        met.add(node)
        for name in ("reg", "compatible"):
            address, size = tree.place(node, name) or (tree.blob, 0)
            assert tree.blob <= address <= address + size <= tree.blob + limit
        assert tree.numbers("fdt_reg", node, 0) is not None
        todo += tree.children(node)
    tree.node("fdt_next_compatible", -1, "arm,pl011")
    for index in range(4):
        tree.numbers("fdt_reserve_entry", index)
