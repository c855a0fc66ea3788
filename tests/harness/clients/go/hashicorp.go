package main

import (
	"context"
	"net/http"
	"os"
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
	list := func(as auth.Authorizer, kind string) ([]string, error) {
		services, err := resourcemanager.NewClient(environment.ResourceManager, "communicationservices", "2023-03-31")
		if err != nil {
			return nil, err
		}
		services.SetAuthorizer(as)
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
	listed := func(as auth.Authorizer, err error) error {
		if err != nil {
			return err
		}
		names, err := list(as, "communicationServices")
		if err != nil {
			return err
		}
		return contains(names, "dev")
	}
	bySecret := func(secret string) (auth.Authorizer, error) {
		return auth.NewClientSecretAuthorizer(ctx, auth.ClientSecretAuthorizerOptions{
			Environment:  *environment,
			Api:          environment.ResourceManager,
			TenantId:     given.Tenant,
			ClientId:     given.Tenant,
			ClientSecret: secret,
		})
	}
	try("sign-in", func() error { return listed(bySecret(given.OperatorKey)) })
	try("wrong-secret", func() error {
		err := listed(bySecret("not-the-operator-key"))
		if err == nil {
			return errAccepted
		}
		return expect(strings.Contains(err.Error(), "invalid_client"), "it says %v", err)
	})
	try("email", func() error {
		as, err := bySecret(given.OperatorKey)
		if err != nil {
			return err
		}
		if _, err = list(as, "emailServices"); err == nil {
			return errAccepted
		}
		return expect(strings.Contains(err.Error(), "does not offer e-mail"), "it says %v", err)
	})
	try("managed-identity", func() error {
		return listed(auth.NewManagedIdentityAuthorizer(ctx, auth.ManagedIdentityAuthorizerOptions{
			Api:                             environment.ResourceManager,
			CustomManagedIdentityEndpoint:   os.Getenv("IDENTITY_ENDPOINT"),
			CustomManagedIdentityAPIVersion: "2019-08-01",
			CustomManagedIdentityHeaders:    map[string][]string{"X-IDENTITY-HEADER": {os.Getenv("IDENTITY_HEADER")}},
		}))
	})
}
