//! The codes of diagnostics. They never change their meaning; each has a page in docs/errors.

pub use record::error::Code;

macro_rules! codes {
    ($($name:ident = $code:literal $title:literal;)*) => {
        $(#[doc = $title] pub const $name: Code = Code($code);)*

        /// All codes with their titles, as the pages have them.
        pub const ALL: &[(Code, &str)] = &[$(($name, $title)),*];
    };
}

codes! {
    UNREADABLE = "E0101" "The pipeline file cannot be read";
    SYNTAX = "E0102" "The file is not valid TOML";
    UNKNOWN_KEY = "E0103" "Unknown key";
    WRONG_TYPE = "E0104" "A value of the wrong type";
    OUT_OF_RANGE = "E0105" "A value that is too small, too large, or empty";
    MISSING_KEY = "E0106" "A key is missing";
    UNKNOWN_CHOICE = "E0107" "A value that is none of the possible ones";
    BAD_NAME = "E0108" "A malformed name";
    NAME_TWICE = "E0109" "Two nodes have one name";
    UNKNOWN_INPUT = "E0110" "An input that does not exist";
    UNKNOWN_PORT = "E0111" "A port that does not exist";
    CYCLE = "E0112" "The pipeline goes round in a circle";
    UNUSED_NODE = "E0113" "A node that nothing reads";
    NOTHING_TO_DO = "E0114" "A pipeline without sources or without sinks";
    INPUT_TWICE = "E0115" "An input is named twice";
    TOPIC_TWICE = "E0116" "A topic has two purposes";
    NO_SECRET = "E0117" "A secret is missing";
    BAD_PLACEHOLDER = "E0118" "A malformed placeholder";
    SECRET_SHOWN = "E0119" "A secret where it would be shown";
    RESERVED_PROPERTY = "E0120" "A Kafka setting that Wasmill makes itself";
    NO_PLUGIN = "E0121" "A plugin file is missing";
    PLUGIN_OUTSIDE = "E0122" "A plugin lies outside the plugin root";
    BAD_PLUGIN = "E0123" "A plugin cannot be used";
    BAD_CONFIG = "E0124" "A plugin refuses its config";
    INPUTS_MISMATCH = "E0125" "The inputs do not fit the plugin";
    NO_KEY = "E0126" "State by key, but records without one";
    NOT_JSON = "E0127" "A config value that JSON does not have";
    BAD_POINTER = "E0128" "A malformed JSON Pointer";
    CONTRADICTION = "E0129" "Settings that do not fit each other";
    BAD_SET = "E0130" "A malformed --set";
    NOTHING_TO_REPLACE = "E0131" "An embedded node that replaces nothing";
    BAD_TIME = "E0132" "A malformed time";
    BAD_URL = "E0133" "A malformed URL";
    BAD_ADDRESS = "E0134" "An address that a source cannot listen on";
    BAD_ROUTE = "E0135" "A route that does not fit";
    BAD_TEMPLATE = "E0136" "A malformed place for a part of a request";
    BAD_GRANT = "E0138" "A grant that cannot be given";
    PORT_UNREAD = "E0140" "A port that nothing reads (warning)";
    STATE_TWICE = "E0141" "State with at_least_once (warning)";
    UNKNOWN_NAME = "E0160" "A test names something that the pipeline does not have";
    EXPECTS_NOTHING = "E0161" "A test case that expects nothing";
    BAD_TEST_VALUE = "E0162" "A value of a test that cannot be read";
    CASE_TWICE = "E0163" "Two test cases have one name";
}
