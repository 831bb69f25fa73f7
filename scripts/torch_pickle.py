"""torch_pickle - the numbers of tensors that PyTorch pickled, read without PyTorch and without running what a pickle says.

A tensor arrives by pickle.dump (its storage is a file of torch.save inside the pickle), or by torch.save, as a zip of today or
as the stream of before version 1.6. In all three a pickle names _rebuild_tensor_v2 and a storage type; here a name becomes a
record of what it was given (Record), from which shape, strides and bytes are taken.
Source: PyTorch, torch/serialization.py (the layout of both files), torch/_utils.py (what is rebuilt from what)."""
import io
import math
import pickle
import pickletools
import struct
import zipfile

MAGIC = 0x1950A86A20F9469CFC6C  # of a stream of torch.save
MOST_NUMBERS = 1 << 26
STORAGES = {"DoubleStorage": "d", "FloatStorage": "f", "HalfStorage": "e", "BFloat16Storage": "bf16", "LongStorage": "q",
            "IntStorage": "i", "ShortStorage": "h", "CharStorage": "b", "ByteStorage": "B", "BoolStorage": "?"}
NAMES = {("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_parameter"), ("torch.storage", "_load_from_bytes"),
         ("collections", "OrderedDict"), ("builtins", "slice"), ("__builtin__", "slice"),
         ("_codecs", "encode")} | {("torch", name) for name in STORAGES}


class Refused(Exception):
    pass


class Record:
    """What a pickle gave to something that it named."""

    def __new__(cls, *args):
        made = super().__new__(cls)
        made.args, made.state = args, None
        return made

    def __init__(self, *args):
        pass

    def __setstate__(self, state):
        self.state = state

    def __setitem__(self, key, value):  # an OrderedDict of hooks: not needed
        pass


def octets(value):
    """Bytes, which a pickle of protocol 2 holds as a text of Latin-1."""
    if isinstance(value, Record) and type(value).__name__ == "encode":
        value = value.args[0].encode("latin-1")
    return bytes(value)


class Storage:
    """A run of numbers of one type; its bytes are found when the whole file was read."""

    def __init__(self, kind, key, n):
        if kind not in STORAGES or not isinstance(n, int) or not 0 <= n <= MOST_NUMBERS:
            raise Refused(f"a tensor has {n} numbers of type {kind}")
        self.kind, self.key, self.n, self.data = kind, key, n, None

    def n_bytes(self):
        return self.n * (2 if self.kind == "BFloat16Storage" else struct.calcsize("<" + STORAGES[self.kind]))

    def values(self):
        if self.data is None or len(self.data) != self.n_bytes():
            raise Refused("the numbers of a tensor are missing")
        if self.kind != "BFloat16Storage":
            return struct.unpack(f"<{self.n}{STORAGES[self.kind]}", self.data)
        halves = struct.unpack(f"<{self.n}H", self.data)
        return struct.unpack(f"<{self.n}f", struct.pack(f"<{self.n}I", *(half << 16 for half in halves)))


class Reader(pickle.Unpickler):
    """Makes records of what the pickle names, as far as it may be named."""

    modules = ()  # further modules whose names become records

    def __init__(self, file):
        super().__init__(file)
        self.file, self.storages = file, {}

    def load(self):
        """First seen to be whole: of a bytearray that memory cannot hold Python itself prints a SystemError."""
        start = self.file.tell()
        for _ in pickletools.genops(self.file):
            pass
        self.file.seek(start)
        return super().load()

    def find_class(self, module, name):
        if (module, name) not in NAMES and module.split(".")[0] not in self.modules:
            raise Refused(f"it names {module}.{name}, which no ranking contains")
        return type(name, (Record,), {})

    def persistent_load(self, pid):
        kind, storage, key, _, n = pid[:5]
        if kind != "storage" or not isinstance(key, str):
            raise Refused("it refers to something outside the file")
        return self.storages.setdefault(key, Storage(storage.__name__, key, n))


def load_stream(data):
    """The object of a file of torch.save of before version 1.6."""
    file = io.BytesIO(data)
    if Reader(file).load() != MAGIC:
        raise Refused("it is not a stream of tensors")
    Reader(file).load()  # the version
    if not Reader(file).load().get("little_endian"):
        raise Refused("its stream of tensors has the other byte order")
    reader = Reader(file)
    made, keys = reader.load(), Reader(file).load()
    for key in keys:
        storage = reader.storages[key]
        (n,) = struct.unpack("<q", file.read(8))
        if n != storage.n:
            raise Refused(f"a tensor has {n} numbers, expected {storage.n}")
        storage.data = file.read(storage.n_bytes())
    return made


def load_zip(data):
    """The object of a file of torch.save. Its members are stored as they are; a packed one is refused."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: info for info in archive.infolist()}
        (pickled,) = [name for name in members if name.endswith("/data.pkl")]
        folder = pickled[:-len("data.pkl")]

        def read(name):
            if members[name].compress_type != zipfile.ZIP_STORED:
                raise Refused(f"its member {name} is compressed")
            return archive.read(name)

        if folder + "byteorder" in members and read(folder + "byteorder") != b"little":
            raise Refused("its tensors have the other byte order")
        reader = Reader(io.BytesIO(read(pickled)))
        made = reader.load()
        for key, storage in reader.storages.items():
            storage.data = read(f"{folder}data/{key}")
        return made


def load(data, reader=Reader):
    """The object of a pickle or of either file of torch.save; names are records, numbers of tensors are left in them."""
    if data[:2] == b"PK":
        return load_zip(data)
    made = reader(io.BytesIO(data)).load()
    return load_stream(data) if made == MAGIC and isinstance(made, int) else made


def is_tensor(record):
    return type(record).__name__ in ("_rebuild_tensor_v2", "_rebuild_parameter") and isinstance(record, Record)


def tensor(record):
    """(shape, values in C order) of a tensor's record."""
    while type(record).__name__ == "_rebuild_parameter":
        record = record.args[0]
    storage, offset, shape, stride = record.args[:4]
    if type(storage).__name__ == "_load_from_bytes":
        storage = load_stream(octets(storage.args[0]))
    if not isinstance(storage, Storage):
        raise Refused("a tensor has no numbers")
    counts = (offset, *shape, *stride)
    if len(shape) != len(stride) or not all(isinstance(n, int) and n >= 0 for n in counts):
        raise Refused("a tensor has an impossible shape")
    n, last = math.prod(shape), offset + sum((count - 1) * step for count, step in zip(shape, stride))
    if n > MOST_NUMBERS:
        raise Refused("a tensor is larger than any ranking")
    if n > storage.n or (n > 0 and last >= storage.n):
        raise Refused("a tensor extends beyond its numbers")
    at = [offset] if n > 0 else []
    for count, step in zip(shape, stride):
        at = [place + i * step for place in at for i in range(count)]
    values = storage.values()
    return tuple(shape), [values[place] for place in at]
