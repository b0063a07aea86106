// {{name}}: the price of an order.

const std = @import("std");
const contract = @import("contract"); // made by the build

const Request = contract.exports_openexec_handler_guest_request_t;
const Outcome = contract.exports_openexec_handler_guest_outcome_t;
const Failure = contract.exports_openexec_handler_guest_failure_t;
const Description = contract.exports_openexec_handler_guest_description_t;

const total_minor_max = 1_000_000_000;

const Payload = struct { quantity: u64, unit_minor: u64 };

// What is returned is freed by the bindings, with this allocator.
const allocator = std.heap.c_allocator;

fn fail(failure: *Failure, tag: u8, text: [*:0]const u8) bool {
    failure.tag = tag;
    contract.handler_string_dup(&failure.val.rejected, text); // each kind of failure carries one text
    return false;
}

export fn exports_openexec_handler_guest_handle(request: *Request, outcome: *Outcome, failure: *Failure) bool {
    const text = request.payload.ptr[0..request.payload.len];
    const payload = std.json.parseFromSliceLeaky(Payload, allocator, text, .{}) catch
        return fail(failure, contract.EXPORTS_OPENEXEC_HANDLER_GUEST_FAILURE_INVALID_PAYLOAD, "payload-malformed: quantity and unit_minor are whole numbers");
    const total_minor = payload.quantity *| payload.unit_minor;
    if (total_minor > total_minor_max)
        return fail(failure, contract.EXPORTS_OPENEXEC_HANDLER_GUEST_FAILURE_REJECTED, "total-over-limit: at most 1000000000 minor units in one order");
    const output = std.fmt.allocPrint(allocator, "{{\"total_minor\":{d}}}", .{total_minor}) catch
        return fail(failure, contract.EXPORTS_OPENEXEC_HANDLER_GUEST_FAILURE_INTERNAL, "no-memory: raise the limit of memory in the pin");
    outcome.* = .{ .output = .{ .ptr = output.ptr, .len = output.len }, .effects = .{ .ptr = null, .len = 0 } };
    return true;
}

export fn exports_openexec_handler_guest_describe(description: *Description) void {
    contract.handler_string_dup(&description.title, "{{name}}");
    contract.handler_string_dup(&description.summary, "The price of an order, up to a limit.");
    contract.handler_string_dup(&description.payload_schema, @embedFile("payload.schema.json"));
    contract.handler_string_dup(&description.output_schema, @embedFile("output.schema.json"));
}
