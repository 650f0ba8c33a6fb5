//! Changes of headers.

/// `request_headers_to_add` and `..._to_remove`, or the response's: removals first, then `ops` in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderMutation {
    /// Names to remove, lower case.
    pub remove: Vec<String>,
    /// Headers to set or add.
    pub ops: Vec<HeaderOp>,
}

/// One `HeaderValueOption`. `%` in a value is written `%%` on the wire; values here are literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderOp {
    /// Name, lower case.
    pub name: String,
    /// Value.
    pub value: String,
    /// `true`: beside what is there (`APPEND_IF_EXISTS_OR_ADD`); `false`: in its place (`OVERWRITE_IF_EXISTS_OR_ADD`).
    pub append: bool,
}
