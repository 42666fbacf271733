//! The names that a pickle may use: those that tensors need, and plain classes whose objects trainers leave beside the weights.
//!
//! Nothing that is named here is ever imported or called. A name is harmless if an object of it can be passed over without
//! changing what the tensors are; so functions that make tensors of anything but a storage are not among them.

use super::{Class, Element};

/// What a name stands for; `script` in the pickle of a TorchScript archive, whose modules have classes of their own.
pub(super) fn class(module: &str, name: &str, script: bool) -> Option<Class> {
    let module = match module {
        // Python 2 called it so, and protocol 2 still does.
        "__builtin__" => "builtins",
        // NumPy 2 moved it.
        "numpy._core.multiarray" => "numpy.core.multiarray",
        "numpy._core.numeric" => "numpy.core.numeric",
        // Python 3.13 moved it.
        "pathlib._local" => "pathlib",
        module => module,
    };
    Some(match (module, name) {
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Class::RebuildTensor,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Class::RebuildParameter,
        ("collections", "OrderedDict" | "Counter" | "defaultdict") | ("builtins", "dict") => Class::Dict,
        ("torch", "Size") | ("builtins", "set" | "frozenset" | "list" | "tuple") | ("collections", "deque") => {
            Class::Sequence
        }
        ("torch.torch_version", "TorchVersion") | ("builtins", "str" | "unicode") => Class::Text,
        ("torch", name) => match storage(name) {
            Some(element) => Class::Storage(element),
            None if TORCH.contains(&name) => Class::Plain,
            None => return None,
        },
        _ if PLAIN.contains(&(module, name)) => Class::Plain,
        ("torch.jit._pickle", _) if script => Class::Plain,
        _ if script && (module == "__torch__" || module.starts_with("__torch__.")) => Class::Plain,
        _ => return None,
    })
}

fn storage(name: &str) -> Option<Element> {
    Some(match name {
        "DoubleStorage" => Element::F64,
        "FloatStorage" => Element::F32,
        "HalfStorage" => Element::F16,
        "BFloat16Storage" => Element::Bf16,
        "ComplexDoubleStorage" => Element::Whole(16),
        "LongStorage" | "ComplexFloatStorage" => Element::Whole(8),
        "IntStorage" => Element::Whole(4),
        "ShortStorage" => Element::Whole(2),
        "CharStorage" | "ByteStorage" | "BoolStorage" => Element::Whole(1),
        _ => return None,
    })
}

/// `torch.…`: types of values, layouts and devices.
const TORCH: &[&str] = &[
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "float8_e4m3fn",
    "float8_e5m2",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
    "complex64",
    "complex128",
    "double",
    "float",
    "half",
    "long",
    "int",
    "short",
    "device",
    "contiguous_format",
    "channels_last",
    "preserve_format",
];

/// Module and name of other harmless classes, and of what rebuilds their objects.
const PLAIN: &[(&str, &str)] = &[
    ("builtins", "object"),
    ("builtins", "int"),
    ("builtins", "long"),
    ("builtins", "float"),
    ("builtins", "bool"),
    ("builtins", "complex"),
    ("builtins", "bytes"),
    ("builtins", "bytearray"),
    ("builtins", "slice"),
    ("builtins", "range"),
    ("builtins", "xrange"),
    ("_codecs", "encode"),
    ("copyreg", "_reconstructor"),
    ("copy_reg", "_reconstructor"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy", "float64"),
    ("numpy", "float32"),
    ("numpy", "float16"),
    ("numpy", "int64"),
    ("numpy", "int32"),
    ("numpy", "int16"),
    ("numpy", "int8"),
    ("numpy", "uint8"),
    ("numpy", "bool_"),
    ("numpy.dtypes", "Float64DType"),
    ("numpy.dtypes", "Float32DType"),
    ("numpy.dtypes", "Int64DType"),
    ("argparse", "Namespace"),
    ("types", "SimpleNamespace"),
    ("pathlib", "Path"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib", "PurePosixPath"),
    ("pathlib", "PureWindowsPath"),
    ("pathlib", "PurePath"),
    ("datetime", "datetime"),
    ("datetime", "date"),
    ("datetime", "time"),
    ("datetime", "timedelta"),
    ("datetime", "timezone"),
    ("decimal", "Decimal"),
    ("fractions", "Fraction"),
    ("uuid", "UUID"),
    ("torch.serialization", "_get_layout"),
];
