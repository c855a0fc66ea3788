package main

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	communication "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/communication/armcommunication/v2"
)

const group = "dev"

// arm is Azure's management SDK in a cloud of its own, with the operator key as a client secret.
func arm(ctx context.Context, given task) {
	options := policy.ClientOptions{Cloud: cloud.Configuration{
		ActiveDirectoryAuthorityHost: given.Endpoint,
		Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: given.Endpoint, Audience: given.Endpoint},
		},
	}}
	as := func(secret string) (*communication.ClientFactory, error) {
		credential, err := azidentity.NewClientSecretCredential(given.Tenant, given.Tenant, secret,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
		if err != nil {
			return nil, err
		}
		return communication.NewClientFactory(given.SubscriptionID, credential, &azarm.ClientOptions{ClientOptions: options})
	}
	factory, err := as(given.OperatorKey)
	if err != nil {
		panic(err)
	}
	services := factory.NewServicesClient()
	names := func(of *communication.ServicesClient) (found []string, err error) {
		for pager := of.NewListByResourceGroupPager(group, nil); pager.More(); {
			page, err := pager.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			for _, service := range page.Value {
				found = append(found, *service.Name)
			}
		}
		return found, nil
	}
	try("sign-in", func() error {
		found, err := names(services)
		if err != nil {
			return err
		}
		return contains(found, "dev")
	})
	try("wrong-secret", func() error {
		other, err := as("not-the-operator-key")
		if err != nil {
			return err
		}
		if _, err = names(other.NewServicesClient()); err == nil {
			return errAccepted
		}
		return expect(strings.Contains(err.Error(), "invalid_client"), "it says %v", err)
	})
	try("services", func() error {
		wish := communication.ServiceResource{
			Location:   to.Ptr("global"),
			Properties: &communication.ServiceProperties{DataLocation: to.Ptr("Europe")},
		}
		poller, err := services.BeginCreateOrUpdate(ctx, group, name, wish, nil)
		if err != nil {
			return err
		}
		made, err := poller.PollUntilDone(ctx, nil)
		if err != nil {
			return err
		}
		found, err := names(services)
		if err != nil {
			return err
		}
		return errors.Join(
			expect(*made.Properties.ProvisioningState == "Succeeded", "it is %v", *made.Properties.ProvisioningState),
			contains(found, name),
		)
	})
	try("keys", func() error {
		keys, err := services.ListKeys(ctx, group, name, nil)
		if err != nil {
			return err
		}
		slot := communication.KeyTypePrimary
		regenerated, err := services.RegenerateKey(ctx, group, name, communication.RegenerateKeyParameters{KeyType: &slot}, nil)
		if err != nil {
			return err
		}
		return errors.Join(
			expect(*regenerated.PrimaryKey != *keys.PrimaryKey, "the key is the same"),
			expect(regenerated.SecondaryKey == nil, "it tells the other key"),
			expect(strings.Contains(*regenerated.PrimaryConnectionString, *regenerated.PrimaryKey), "another connection string"),
		)
	})
	try("identity", func() error {
		kind := communication.ManagedServiceIdentityTypeSystemAssigned
		update := communication.ServiceResourceUpdate{Identity: &communication.ManagedServiceIdentity{Type: &kind}}
		updated, err := services.Update(ctx, group, name, update, nil)
		if err != nil {
			return err
		}
		read, err := services.Get(ctx, group, name, nil)
		if err != nil {
			return err
		}
		identity := updated.Identity
		if identity.PrincipalID == nil || identity.TenantID == nil {
			return errors.New("it has no principal or tenant")
		}
		return expect(*read.Identity.PrincipalID == *identity.PrincipalID, "the principal does not stay")
	})
	try("email", func() error {
		_, err := factory.NewEmailServicesClient().NewListBySubscriptionPager(nil).NextPage(ctx)
		if err == nil {
			return errAccepted
		}
		return expect(strings.Contains(err.Error(), "does not offer e-mail"), "it says %v", err)
	})
	try("managed-identity", func() error {
		credential, err := azidentity.NewManagedIdentityCredential(nil)
		if err != nil {
			return err
		}
		scope := policy.TokenRequestOptions{Scopes: []string{"https://communication.azure.com//.default"}}
		if _, err = credential.GetToken(ctx, scope); err != nil {
			return err
		}
		machine, err := communication.NewClientFactory(given.SubscriptionID, credential, &azarm.ClientOptions{ClientOptions: options})
		if err != nil {
			return err
		}
		found, err := names(machine.NewServicesClient())
		return errors.Join(err, contains(found, "dev"))
	})
	try("delete", func() error {
		poller, err := services.BeginDelete(ctx, group, name, nil)
		if err != nil {
			return err
		}
		if _, err = poller.PollUntilDone(ctx, nil); err != nil {
			return err
		}
		_, err = services.Get(ctx, group, name, nil)
		var refused *azcore.ResponseError
		return expect(errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound, "it says %v", err)
	})
}
