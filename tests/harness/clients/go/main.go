// The Go clients of the management plane as programs use them: run by tools.ts, one client at a time. Prints a line of JSON for
// each thing that it tried.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

type task struct {
	Client         string `json:"client"`
	Endpoint       string `json:"endpoint"`
	OperatorKey    string `json:"operatorKey"`
	Tenant         string `json:"tenant"`
	SubscriptionID string `json:"subscriptionId"`
}

const name = "from-go"

func main() {
	var given task
	if err := json.Unmarshal([]byte(os.Args[1]), &given); err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	clients := map[string]func(context.Context, task){"hashicorp": hashicorp, "arm": arm}
	clients[given.Client](ctx, given)
}

// try says how one thing went.
func try(operation string, does func() error) {
	found := map[string]string{"operation": operation, "outcome": "passed"}
	if err := does(); err != nil {
		found["outcome"], found["how"] = "differs", err.Error()
	}
	line, err := json.Marshal(found)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

func expect(holds bool, format string, values ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, values...)
}

func contains(names []string, wanted string) error {
	return expect(slices.Contains(names, wanted), "%s is not among %v", wanted, names)
}

var errAccepted = errors.New("it was accepted")
