// {{name}}: the price of an order.

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "handler_cpp.h" // the contract; made by the build

namespace guest = exports::openexec::handler::guest;
using guest::Failure;

constexpr long long total_minor_max = 1'000'000'000;

constexpr char payload_schema[] = {
#embed "payload.schema.json"
    , 0};
constexpr char output_schema[] = {
#embed "output.schema.json"
    , 0};

// Reads a member. The payload is canonical JSON that the host has held to the schema: no white space, and small whole
// numbers, spelled in digits.
static std::optional<long long> member(std::string_view payload, std::string_view name) {
    const std::string pattern = '"' + std::string(name) + "\":";
    const auto found = payload.find(pattern);
    if (found == payload.npos) return std::nullopt;
    long long value = 0;
    const auto read = std::from_chars(payload.data() + found + pattern.size(), payload.data() + payload.size(), value);
    const bool is_whole = read.ec == std::errc{} && read.ptr != payload.data() + payload.size() &&
                          (*read.ptr == ',' || *read.ptr == '}');
    return is_whole ? std::optional(value) : std::nullopt;
}

static wit::string text(std::string_view text) { return wit::string::from_view(text); }

std::expected<guest::Outcome, Failure> guest::Handle(Request request) {
    const std::string_view payload = request.payload.get_view();
    const auto quantity = member(payload, "quantity"), unit_minor = member(payload, "unit_minor");
    if (!quantity || !unit_minor)
        return std::unexpected(
            Failure{Failure::InvalidPayload{text("payload-malformed: quantity and unit_minor are whole numbers")}});
    const long long total_minor = *quantity * *unit_minor; // at most 10^4 * 10^8, by the schema
    if (total_minor > total_minor_max)
        return std::unexpected(
            Failure{Failure::Rejected{text("total-over-limit: at most 1000000000 minor units in one order")}});
    return Outcome{text("{\"total_minor\":" + std::to_string(total_minor) + "}"), wit::vector<Effect>()};
}

guest::Description guest::Describe() {
    return Description{text("{{name}}"), text("The price of an order, up to a limit."), text(payload_schema),
                       text(output_schema)};
}
