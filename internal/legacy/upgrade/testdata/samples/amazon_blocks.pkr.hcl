packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "~> 1"
    }
  }
}

source "amazon-ebs" "blocks" {
  region        = "eu-west-1"
  source_ami    = "ami-1"
  instance_type = "t3.micro"
  ssh_username  = "u"
  ami_name      = "n"

  assume_role {
    role_arn     = "arn:aws:iam::1:role/x"
    session_name = "s"
    policy_arns  = ["a", "b"]
  }

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  subnet_filter {
    filters = {
      "tag:Class" = "build"
    }
    most_free = true
    random    = false
  }

  tag {
    key   = "a"
    value = "b"
  }

  tag {
    key   = "c"
    value = "d"
  }

  temporary_iam_instance_profile_policy_document {
    Version = "2012-10-17"

    Statement {
      Effect   = "Allow"
      Action   = ["logs:*"]
      Resource = ["*"]
    }
  }

  vault_aws_engine {
    name = "x"
  }

  placement {
    tenancy = "dedicated"
  }

  aws_polling {
    delay_seconds = 5
  }
}

build {
  sources = ["source.amazon-ebs.blocks"]

  post-processor "amazon-import" {
    region         = "eu-west-1"
    s3_bucket_name = "b"
    license_type   = "BYOL"
    tags = {
      a = "b"
    }
    ami_users = ["1"]
  }
}

