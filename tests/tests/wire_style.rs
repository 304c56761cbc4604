//! The wire's style: the STANDARD and COMMENTS rules of Buf, checked over the descriptors that reflection serves. The name
//! of each rule stands in its message.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails loudly")]

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet, SourceCodeInfo};

/// Numbers of the fields of descriptor.proto, of which a path to a comment is made.
mod field_number {
    pub(super) const MESSAGE_OF_FILE: i32 = 4;
    pub(super) const ENUM_OF_FILE: i32 = 5;
    pub(super) const SERVICE_OF_FILE: i32 = 6;
    pub(super) const FIELD_OF_MESSAGE: i32 = 2;
    pub(super) const MESSAGE_OF_MESSAGE: i32 = 3;
    pub(super) const ENUM_OF_MESSAGE: i32 = 4;
    pub(super) const ONEOF_OF_MESSAGE: i32 = 8;
    pub(super) const VALUE_OF_ENUM: i32 = 2;
    pub(super) const RPC_OF_SERVICE: i32 = 2;
}

/// Packages of Google that ours import; their style is theirs.
const FOREIGN: &str = "google.";

fn descriptors() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(ppu_proto::DESCRIPTORS).unwrap();
    set.file.into_iter().filter(|file| !file.package().starts_with(FOREIGN)).collect()
}

/// One file under inspection.
struct Inspection<'a> {
    file: &'a FileDescriptorProto,
    commented: BTreeSet<&'a [i32]>,
    found: Vec<String>,
}

impl<'a> Inspection<'a> {
    fn new(file: &'a FileDescriptorProto) -> Self {
        let has_comment = |location: &&prost_types::source_code_info::Location| {
            location.leading_comments.as_ref().is_some_and(|comment| !comment.trim().is_empty())
        };
        let locations: &[_] = file.source_code_info.as_ref().map_or(&[], |info: &SourceCodeInfo| &info.location);
        let commented = locations.iter().filter(has_comment).map(|location| location.path.as_slice()).collect();
        Self { file, commented, found: Vec::new() }
    }

    fn rule(&mut self, rule: &str, holds: bool, what: &str) {
        if !holds {
            self.found.push(format!("{}: {rule}: {what}", self.file.name()));
        }
    }

    fn comment(&mut self, rule: &str, path: &[i32], name: &str) {
        let holds = self.commented.contains(path);
        self.rule(rule, holds, &format!("{name} has no comment before it"));
    }

    fn inspect(mut self) -> Vec<String> {
        let file = self.file;
        let (name, package) = (file.name(), file.package());
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let stem = name.rsplit('/').next().unwrap_or_default().trim_end_matches(".proto");
        self.rule("SYNTAX_SPECIFIED", file.syntax() == "proto3", "syntax = \"proto3\" is missing");
        self.rule("FILE_LOWER_SNAKE_CASE", is_lower_snake(stem), stem);
        self.rule("PACKAGE_DIRECTORY_MATCH", folder == package.replace('.', "/"), &format!("{package} in {folder}"));
        self.rule("PACKAGE_LOWER_SNAKE_CASE", package.split('.').all(is_lower_snake), package);
        self.rule("PACKAGE_VERSION_SUFFIX", is_version(package.rsplit('.').next().unwrap_or_default()), package);
        self.rule("IMPORT_NO_PUBLIC", file.public_dependency.is_empty(), "a public import");
        self.rule("IMPORT_NO_WEAK", file.weak_dependency.is_empty(), "a weak import");
        for (at, message) in (0..).zip(&file.message_type) {
            self.message(message, &[field_number::MESSAGE_OF_FILE, at]);
        }
        for (at, kind) in (0..).zip(&file.enum_type) {
            self.enumeration(kind, &[field_number::ENUM_OF_FILE, at]);
        }
        for (at, service) in (0..).zip(&file.service) {
            let path = [field_number::SERVICE_OF_FILE, at];
            self.rule("SERVICE_PASCAL_CASE", is_pascal(service.name()), service.name());
            self.rule("SERVICE_SUFFIX", service.name().ends_with("Service"), service.name());
            self.comment("COMMENT_SERVICE", &path, service.name());
            for (at, rpc) in (0..).zip(&service.method) {
                self.rule("RPC_PASCAL_CASE", is_pascal(rpc.name()), rpc.name());
                let comment = [&path[..], &[field_number::RPC_OF_SERVICE, at]].concat();
                self.comment("COMMENT_RPC", &comment, &format!("{}.{}", service.name(), rpc.name()));
                for (rule, given, suffix) in [
                    ("RPC_REQUEST_STANDARD_NAME", rpc.input_type(), "Request"),
                    ("RPC_RESPONSE_STANDARD_NAME", rpc.output_type(), "Response"),
                ] {
                    let (short, wanted) = (given.rsplit('.').next(), format!("{}{suffix}", rpc.name()));
                    let with_service = format!("{}{wanted}", service.name());
                    let holds = short == Some(&wanted) || short == Some(&with_service);
                    self.rule(rule, holds, &format!("{} takes or gives {given}, not {wanted}", rpc.name()));
                }
            }
        }
        self.found
    }

    fn message(&mut self, message: &DescriptorProto, path: &[i32]) {
        if message.options.as_ref().is_some_and(|options| options.map_entry()) {
            return;
        }
        let name = message.name();
        self.rule("MESSAGE_PASCAL_CASE", is_pascal(name), name);
        self.comment("COMMENT_MESSAGE", path, name);
        for (at, field) in (0..).zip(&message.field) {
            let what = format!("{name}.{}", field.name());
            self.rule("FIELD_LOWER_SNAKE_CASE", is_lower_snake(field.name()), &what);
            self.rule("FIELD_NOT_DESCRIPTOR", field.name() != "descriptor", &what);
            self.comment("COMMENT_FIELD", &[path, &[field_number::FIELD_OF_MESSAGE, at]].concat(), &what);
        }
        for (at, oneof) in (0..).zip(&message.oneof_decl) {
            // An `optional` field brings a oneof of its own that nobody wrote.
            let is_written =
                message.field.iter().any(|field| field.oneof_index == Some(at) && !field.proto3_optional());
            if is_written {
                let what = format!("{name}.{}", oneof.name());
                self.rule("ONEOF_LOWER_SNAKE_CASE", is_lower_snake(oneof.name()), &what);
                self.comment("COMMENT_ONEOF", &[path, &[field_number::ONEOF_OF_MESSAGE, at]].concat(), &what);
            }
        }
        for (at, nested) in (0..).zip(&message.nested_type) {
            self.message(nested, &[path, &[field_number::MESSAGE_OF_MESSAGE, at]].concat());
        }
        for (at, nested) in (0..).zip(&message.enum_type) {
            self.enumeration(nested, &[path, &[field_number::ENUM_OF_MESSAGE, at]].concat());
        }
    }

    fn enumeration(&mut self, kind: &EnumDescriptorProto, path: &[i32]) {
        let name = kind.name();
        let prefix = format!("{}_", upper_snake(name));
        self.rule("ENUM_PASCAL_CASE", is_pascal(name), name);
        self.rule("ENUM_NO_ALLOW_ALIAS", !kind.options.as_ref().is_some_and(|options| options.allow_alias()), name);
        self.comment("COMMENT_ENUM", path, name);
        let zero = kind.value.first();
        self.rule("ENUM_FIRST_VALUE_ZERO", zero.is_some_and(|value| value.number() == 0), name);
        let wanted = format!("{prefix}UNSPECIFIED");
        self.rule("ENUM_ZERO_VALUE_SUFFIX", zero.is_some_and(|value| value.name() == wanted), &wanted);
        for (at, value) in (0..).zip(&kind.value) {
            self.rule("ENUM_VALUE_PREFIX", value.name().starts_with(&prefix), value.name());
            let is_upper = value.name().chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            self.rule("ENUM_VALUE_UPPER_SNAKE_CASE", is_upper, value.name());
            let comment = [path, &[field_number::VALUE_OF_ENUM, at]].concat();
            self.comment("COMMENT_ENUM_VALUE", &comment, value.name());
        }
    }
}

fn is_lower_snake(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.contains("__")
        && !name.ends_with('_')
}

fn is_pascal(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_version(name: &str) -> bool {
    name.strip_prefix('v').is_some_and(|rest| rest.parse::<u32>().is_ok_and(|number| number > 0))
}

fn upper_snake(name: &str) -> String {
    let mut snake = String::new();
    for (at, c) in name.chars().enumerate() {
        if at > 0 && c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_uppercase());
    }
    snake
}

#[test]
fn every_proto_file_follows_the_rules() {
    let files = descriptors();
    assert!(files.iter().all(|file| file.source_code_info.is_some()), "comments cannot be checked without source info");
    let found: Vec<String> = files.iter().flat_map(|file| Inspection::new(file).inspect()).collect();
    assert!(found.is_empty(), "{} broken:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_broken_rule_is_noticed() {
    let mut file = descriptors().into_iter().find(|file| file.package() == "ppu.device.v1").unwrap();
    file.message_type[0].field[0].name = Some("badName".to_owned());
    file.enum_type[0].value[0].name = Some("NONE".to_owned());
    file.service[0].method[0].input_type = Some(".google.protobuf.Empty".to_owned());
    file.source_code_info.as_mut().unwrap().location.clear();
    let found = Inspection::new(&file).inspect().join("\n");
    for rule in [
        "FIELD_LOWER_SNAKE_CASE",
        "ENUM_ZERO_VALUE_SUFFIX",
        "ENUM_VALUE_PREFIX",
        "RPC_REQUEST_STANDARD_NAME",
        "COMMENT_RPC",
        "COMMENT_FIELD",
    ] {
        assert!(found.contains(rule), "{rule} was not noticed in\n{found}");
    }
}

#[test]
fn each_request_and_response_belongs_to_one_rpc() {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in descriptors() {
        for rpc in file.service.iter().flat_map(|service| &service.method) {
            for message in [rpc.input_type(), rpc.output_type()] {
                users.entry(message.to_owned()).or_default().push(rpc.name().to_owned());
            }
        }
    }
    assert!(!users.is_empty());
    let shared: Vec<_> = users.iter().filter(|(_, rpcs)| rpcs.len() > 1).collect();
    assert!(shared.is_empty(), "RPC_REQUEST_RESPONSE_UNIQUE: {shared:?}");
}

#[test]
fn every_file_under_protos_is_compiled_and_every_import_is_used() {
    let root = xtask::root().join("protos");
    let mut on_disk = BTreeSet::new();
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                on_disk.insert(path.strip_prefix(&root).unwrap().display().to_string());
            }
        }
    }
    let files = descriptors();
    let compiled: BTreeSet<String> = files.iter().map(|file| file.name().to_owned()).collect();
    assert_eq!(on_disk, compiled);
    for file in &files {
        let text = std::fs::read_to_string(root.join(file.name())).unwrap();
        for import in file.dependency.iter().filter(|import| !import.starts_with("google/")) {
            let package = import.rsplit_once('/').unwrap().0.replace('/', ".");
            assert!(text.contains(&format!("{package}.")), "IMPORT_USED: {} does not use {import}", file.name());
        }
    }
}

/// Name, number and type of each field of a message.
type Fields = &'static [(&'static str, i32, &'static str)];

/// The payload of Sparkplug B 3.0, section 6.4.1, as far as ppu might send it. Other hosts read by these numbers.
const SPARKPLUG: [(&str, Fields); 4] = [
    (
        "Payload",
        &[
            ("timestamp", 1, "Uint64"),
            ("metrics", 2, "Message"),
            ("seq", 3, "Uint64"),
            ("uuid", 4, "String"),
            ("body", 5, "Bytes"),
        ],
    ),
    (
        "Metric",
        &[
            ("name", 1, "String"),
            ("alias", 2, "Uint64"),
            ("timestamp", 3, "Uint64"),
            ("datatype", 4, "Uint32"),
            ("is_historical", 5, "Bool"),
            ("is_transient", 6, "Bool"),
            ("is_null", 7, "Bool"),
            ("metadata", 8, "Message"),
            ("properties", 9, "Message"),
            ("int_value", 10, "Uint32"),
            ("long_value", 11, "Uint64"),
            ("float_value", 12, "Float"),
            ("double_value", 13, "Double"),
            ("boolean_value", 14, "Bool"),
            ("string_value", 15, "String"),
            ("bytes_value", 16, "Bytes"),
        ],
    ),
    ("PropertySet", &[("keys", 1, "String"), ("values", 2, "Message")]),
    (
        "PropertyValue",
        &[
            ("type", 1, "Uint32"),
            ("is_null", 2, "Bool"),
            ("int_value", 3, "Uint32"),
            ("long_value", 4, "Uint64"),
            ("float_value", 5, "Float"),
            ("double_value", 6, "Double"),
            ("boolean_value", 7, "Bool"),
            ("string_value", 8, "String"),
        ],
    ),
];

#[test]
fn telemetry_keeps_the_numbers_of_sparkplug() {
    let file = descriptors().into_iter().find(|file| file.package() == "ppu.telemetry.v1").unwrap();
    for message in &file.message_type {
        let (_, fields) = SPARKPLUG
            .iter()
            .find(|(name, _)| *name == message.name())
            .unwrap_or_else(|| panic!("Sparkplug has no message {}", message.name()));
        for field in &message.field {
            let ours = (field.name(), field.number(), format!("{:?}", field.r#type()));
            let holds = fields.iter().any(|(name, number, kind)| (*name, *number, (*kind).to_owned()) == ours);
            assert!(holds, "{}.{} = {} ({}) is not in Sparkplug", message.name(), ours.0, ours.1, ours.2);
        }
    }
}
