packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "~> 1"
    }
  }
}

variable "aws_access_key" {
  type    = string
  default = ""
}

variable "aws_secret_key" {
  type      = string
  default   = ""
  sensitive = true
}

variable "region" {
  type    = string
  default = "eu-west-1"
}

locals {
  timestamp = rfc3339_parse(legacy_isotime()).unix
}

source "amazon-ebs" "amazon-ebs" {
  access_key = var.aws_access_key
  secret_key = var.aws_secret_key
  region     = var.region

  source_ami_filter {
    filters = {
      virtualization-type = "hvm"
      name                = "ubuntu/images/*"
      root-device-type    = "ebs"
    }
    owners      = ["099720109477"]
    most_recent = true
  }

  instance_type = "t3.micro"
  ssh_username  = "ubuntu"
  ami_name      = "web ${local.timestamp}"
  ami_regions   = ["us-east-1", "us-west-2"]
  ami_users     = compact(split(",", var.region))

  launch_block_device_mappings {
    device_name           = "/dev/sda1"
    volume_size           = 40
    volume_type           = "gp2"
    delete_on_termination = true
  }

  launch_block_device_mappings {
    device_name = "/dev/sdb"
    no_device   = true
  }

  tags = {
    OS_Version    = "Ubuntu"
    Base_AMI_Name = "{{ .SourceAMIName }}"
    "Cost:Center" = "$${x}"
  }
  run_tags = {
    Name = "packer"
  }
  region_kms_key_ids = {
    us-east-1 = "a"
    us-west-2 = ""
  }
  ssh_timeout = "10m0s"
}

build {
  sources = ["source.amazon-ebs.amazon-ebs"]

  provisioner "shell" {
    inline = ["echo ${build.SourceAMIName}", "sleep 30"]
  }
}

