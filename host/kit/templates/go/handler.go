// {{name}}: the price of an order.
//
// To say no, return a failure. A panic is a trap, and recorded as a fault.
package handler

import (
	_ "embed"
	"encoding/json"

	"go.bytecodealliance.org/pkg/wit/types"
	contract "wit_component/openexec_handler_guest" // made by the build
)

//go:embed payload.schema.json
var payloadSchema string

//go:embed output.schema.json
var outputSchema string

const totalMinorMax = 1_000_000_000

type payload struct {
	Quantity  int64 `json:"quantity"`
	UnitMinor int64 `json:"unit_minor"`
}

type output struct {
	TotalMinor int64 `json:"total_minor"`
}

type result = types.Result[contract.Outcome, contract.Failure]

func fail(failure contract.Failure) result { return types.Err[contract.Outcome](failure) }

// Handle performs one call.
func Handle(request contract.Request) result {
	var order payload
	if err := json.Unmarshal([]byte(request.Payload), &order); err != nil {
		return fail(contract.MakeFailureInvalidPayload("payload-malformed: " + err.Error()))
	}
	total := order.Quantity * order.UnitMinor // at most 10^4 * 10^8, by the schema
	if total > totalMinorMax {
		return fail(contract.MakeFailureRejected("total-over-limit: at most 1000000000 minor units in one order"))
	}
	text, err := json.Marshal(output{TotalMinor: total})
	if err != nil {
		return fail(contract.MakeFailureInternal("output-unwritable: " + err.Error()))
	}
	return types.Ok[contract.Outcome, contract.Failure](contract.Outcome{Output: string(text)})
}

// Describe says what the handler is and takes.
func Describe() contract.Description {
	return contract.Description{
		Title:         "{{name}}",
		Summary:       "The price of an order, up to a limit.",
		PayloadSchema: payloadSchema,
		OutputSchema:  outputSchema,
	}
}
