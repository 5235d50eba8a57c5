packer {
  required_plugins {
    azure = {
      source  = "github.com/hashicorp/azure"
      version = "~> 1"
    }
  }
}

variable "client_id" {
  type = string
}

variable "client_secret" {
  type      = string
  sensitive = true
}

source "azure-arm" "azure-arm" {
  client_id                         = var.client_id
  client_secret                     = var.client_secret
  subscription_id                   = "s"
  os_type                           = "Linux"
  image_publisher                   = "Canonical"
  image_offer                       = "UbuntuServer"
  image_sku                         = "18.04"
  location                          = "East US"
  vm_size                           = "Standard_DS2_v2"
  managed_image_resource_group_name = "rg"
  managed_image_name                = "img"
  azure_tags = {
    dept = "Engineering"
    task = "Image deployment"
  }

  plan_info {
    plan_name      = "n"
    plan_product   = "p"
    plan_publisher = "q"
  }

  shared_image_gallery_destination {
    resource_group      = "rg"
    gallery_name        = "g"
    image_name          = "i"
    image_version       = "1.0.0"
    replication_regions = ["eastus"]

    target_region {
      name = "a"
    }

    target_region {
      name     = "b"
      replicas = 2
    }
  }

  disk_additional_size = [32, 64]
}

build {
  sources = ["source.azure-arm.azure-arm"]

  provisioner "shell" {
    execute_command = "chmod +x {{ .Path }}; {{ .Vars }} sudo -E sh '{{ .Path }}'"
    inline          = ["true"]
    inline_shebang  = "/bin/sh -x"
  }
}

