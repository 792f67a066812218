//! What the attribute becomes.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, FnArg, ImplItem, ItemFn, ItemImpl, Meta, Result, Signature};

use crate::arguments::Arguments;

/// A function stays as it is; beside it, its declaration is registered.
pub(crate) fn function(tokens: TokenStream, function: &ItemFn) -> Result<TokenStream> {
    let arguments = Arguments::parse(tokens)?;
    check(&function.sig)?;
    let name = &function.sig.ident;
    let registration = register(&arguments, &name.to_string(), &quote!(#name), &quote!());
    Ok(quote! {
        #function
        #registration
    })
}

/// Each method that has the attribute becomes a handler that takes the value from the application's state.
pub(crate) fn methods(tokens: TokenStream, mut block: ItemImpl) -> Result<TokenStream> {
    if !tokens.is_empty() {
        return Err(Error::new_spanned(
            tokens,
            "on an `impl` the attribute takes nothing; its methods say what they subscribe to",
        ));
    }
    let value = &block.self_ty;
    let mut registrations = TokenStream::new();
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else {
            continue;
        };
        let Some(at) = method.attrs.iter().position(|attribute| {
            let last = attribute.path().segments.last();
            last.is_some_and(|segment| segment.ident == "subscriber")
        }) else {
            continue;
        };
        let attribute = method.attrs.remove(at);
        let tokens = match attribute.meta {
            Meta::List(list) => list.tokens,
            other => {
                return Err(Error::new_spanned(
                    other,
                    "write what it subscribes to: `subscriber(stream = …)`",
                ));
            }
        };
        let arguments = Arguments::parse(tokens)?;
        check(&method.sig)?;
        let (mut names, mut types) = (Vec::new(), Vec::new());
        let mut inputs = method.sig.inputs.iter();
        if !matches!(inputs.next(), Some(FnArg::Receiver(receiver)) if receiver.reference.is_some() && receiver.mutability.is_none())
        {
            return Err(Error::new_spanned(
                &method.sig,
                "a method that subscribes takes `&self` first",
            ));
        }
        for (number, input) in inputs.enumerate() {
            if let FnArg::Typed(typed) = input {
                names.push(format_ident!("argument_{number}"));
                types.push(&typed.ty);
            }
        }
        let (name, answer, engine) = (&method.sig.ident, &method.sig.output, &arguments.engine);
        let wrapper = quote! {
            async fn handle(#engine::State(this): #engine::State<#value>, #(#names: #types),*) #answer {
                <#value>::#name(&this, #(#names),*).await
            }
        };
        registrations.extend(register(&arguments, &name.to_string(), &quote!(handle), &wrapper));
    }
    Ok(quote! {
        #block
        #registrations
    })
}

fn check(signature: &Signature) -> Result<()> {
    if signature.asyncness.is_none() {
        return Err(Error::new_spanned(
            signature.fn_token,
            "a subscriber is an `async fn`",
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &signature.generics,
            "a subscriber takes no type parameters: nobody would say which",
        ));
    }
    Ok(())
}

fn register(arguments: &Arguments, name: &str, handler: &TokenStream, items: &TokenStream) -> TokenStream {
    let Arguments {
        engine,
        stream,
        group,
        message,
        batch,
        unicast,
        calls,
    } = arguments;
    let group = match group {
        Some(group) => quote!(#group),
        None if *unicast => quote!("handlers"),
        None => quote!(#name),
    };
    let handles = match (batch, message) {
        (Some(size), Some(kind)) => quote!(.batch_on(#kind, #size, #handler)),
        (Some(size), None) => quote!(.batch(#size, #handler)),
        (None, Some(kind)) => quote!(.on(#kind, #handler)),
        (None, None) => quote!(.handle(#handler)),
    };
    // What a command or query leads to belongs to it.
    let layer = if *unicast {
        quote!(.layer(#engine::layers::CorrelationLayer))
    } else {
        quote!()
    };
    quote! {
        const _: () = {
            #items
            fn declare() -> #engine::Declared {
                #engine::Declared::from(#engine::Subscriber::new(#stream, #group) #handles #layer #calls).named(::core::concat!(
                    ::core::module_path!(), "::", #name, " (", ::core::file!(), ":", ::core::line!(), ")"
                ))
            }
            #engine::__private::inventory::submit! { #engine::__private::Linked(declare) }
        };
    }
}
