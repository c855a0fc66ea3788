// Pins the Wycheproof vectors that tests/tokens/wycheproof.test.ts runs; there is no Go code here.
// `cd tests/harness/vectors && go mod download` puts them into Go's module cache. None of them is copied into this repository.
module linarite.test/vectors

go 1.24

require github.com/c2sp/wycheproof v0.0.0-20260902155932-3fa63dd0344a
