package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/hashicorp/go-azure-sdk/sdk/auth"
	"github.com/hashicorp/go-azure-sdk/sdk/client"
	"github.com/hashicorp/go-azure-sdk/sdk/client/resourcemanager"
	"github.com/hashicorp/go-azure-sdk/sdk/environments"
)

// hashicorp does what Terraform's provider does with `metadata_host` and a client secret, by the packages below it.
func hashicorp(ctx context.Context, given task) {
	var environment *environments.Environment
	try("metadata", func() (err error) {
		environment, err = environments.FromEndpoint(ctx, given.Endpoint)
		return err
	})
	if environment == nil {
		return
	}
	as := func(secret string) (*resourcemanager.Client, error) {
		authorizer, err := auth.NewClientSecretAuthorizer(ctx, auth.ClientSecretAuthorizerOptions{
			Environment:  *environment,
			Api:          environment.ResourceManager,
			TenantId:     given.Tenant,
			ClientId:     given.Tenant,
			ClientSecret: secret,
		})
		if err != nil {
			return nil, err
		}
		services, err := resourcemanager.NewClient(environment.ResourceManager, "communicationservices", "2023-03-31")
		if err == nil {
			services.SetAuthorizer(authorizer)
		}
		return services, err
	}
	list := func(secret, kind string) ([]string, error) {
		services, err := as(secret)
		if err != nil {
			return nil, err
		}
		request, err := services.NewRequest(ctx, client.RequestOptions{
			ContentType:         "application/json; charset=utf-8",
			ExpectedStatusCodes: []int{http.StatusOK},
			HttpMethod:          http.MethodGet,
			Path:                "/subscriptions/" + given.SubscriptionID + "/providers/Microsoft.Communication/" + kind,
		})
		if err != nil {
			return nil, err
		}
		answer, err := request.Execute(ctx)
		if err != nil {
			return nil, err
		}
		var page struct {
			Value []struct{ Name string }
		}
		err = answer.Unmarshal(&page)
		names := make([]string, len(page.Value))
		for index, service := range page.Value {
			names[index] = service.Name
		}
		return names, err
	}
	try("sign-in", func() error {
		names, err := list(given.OperatorKey, "communicationServices")
		if err != nil {
			return err
		}
		return contains(names, "dev")
	})
	try("wrong-secret", func() error {
		_, err := list("not-the-operator-key", "communicationServices")
		if err == nil {
			return errAccepted
		}
		return expect(strings.Contains(err.Error(), "invalid_client"), "it says %v", err)
	})
	try("email", func() error {
		_, err := list(given.OperatorKey, "emailServices")
		if err == nil {
			return errAccepted
		}
		return expect(strings.Contains(err.Error(), "does not offer e-mail"), "it says %v", err)
	})
}
