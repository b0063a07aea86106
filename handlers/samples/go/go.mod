module handlers.example/order-confirm

go 1.25

require (
	go.bytecodealliance.org/pkg v0.4.0
	wit_component v0.0.0
)

// Made by the build: the contract's types, and what they are written with.
replace (
	go.bytecodealliance.org/pkg => ./build/support
	wit_component => ./build/contract
)
