// SPDX-License-Identifier: Apache-2.0

// The layout of every struct of the public header, frozen. There is no hidden padding: each field
// begins where the one before it ends. A field added at the end adds a row and changes a size; any
// other failure here is a broken ABI.

#include <cstddef>

#include "mirage/mirage.h"

static_assert(sizeof(void*) == 8 && sizeof(size_t) == 8, "libmirage is for 64-bit platforms");

#define MIRAGE_FIELD(type, field, at) \
  static_assert(offsetof(type, field) == (at), #type "." #field " moved")
#define MIRAGE_SIZE(type, bytes) static_assert(sizeof(type) == (bytes), #type " changed its size")

MIRAGE_FIELD(mirage_error, struct_size, 0);
MIRAGE_FIELD(mirage_error, status, 4);
MIRAGE_FIELD(mirage_error, needed_bytes, 8);
MIRAGE_FIELD(mirage_error, available_bytes, 16);
MIRAGE_FIELD(mirage_error, reserved, 24);
MIRAGE_FIELD(mirage_error, message, 48);
MIRAGE_SIZE(mirage_error, 512);

MIRAGE_FIELD(mirage_runtime_options, struct_size, 0);
MIRAGE_FIELD(mirage_runtime_options, threads, 4);
MIRAGE_FIELD(mirage_runtime_options, memory_limit, 8);
MIRAGE_FIELD(mirage_runtime_options, device, 16);
MIRAGE_FIELD(mirage_runtime_options, log_callback, 24);
MIRAGE_FIELD(mirage_runtime_options, log_user_data, 32);
MIRAGE_FIELD(mirage_runtime_options, log_level, 40);
MIRAGE_FIELD(mirage_runtime_options, reserved, 44);
MIRAGE_FIELD(mirage_runtime_options, max_generations, 48);
MIRAGE_FIELD(mirage_runtime_options, reserved2, 52);
MIRAGE_FIELD(mirage_runtime_options, policy, 56);
MIRAGE_FIELD(mirage_runtime_options, scratch_dir, 64);
MIRAGE_FIELD(mirage_runtime_options, scratch_bytes, 72);
MIRAGE_FIELD(mirage_runtime_options, offload_bytes, 80);
MIRAGE_FIELD(mirage_runtime_options, tuning, 88);
MIRAGE_SIZE(mirage_runtime_options, 96);

MIRAGE_FIELD(mirage_model_options, struct_size, 0);
MIRAGE_FIELD(mirage_model_options, load, 4);
MIRAGE_FIELD(mirage_model_options, context, 8);
MIRAGE_FIELD(mirage_model_options, sessions, 16);
MIRAGE_FIELD(mirage_model_options, kv_type, 20);
MIRAGE_FIELD(mirage_model_options, progress, 24);
MIRAGE_FIELD(mirage_model_options, progress_user_data, 32);
MIRAGE_FIELD(mirage_model_options, adapter_bytes, 40);
MIRAGE_SIZE(mirage_model_options, 48);

MIRAGE_FIELD(mirage_model_info, struct_size, 0);
MIRAGE_FIELD(mirage_model_info, load, 4);
MIRAGE_FIELD(mirage_model_info, architecture, 8);
MIRAGE_FIELD(mirage_model_info, name, 16);
MIRAGE_FIELD(mirage_model_info, file_bytes, 24);
MIRAGE_FIELD(mirage_model_info, parameters, 32);
MIRAGE_FIELD(mirage_model_info, metadata_count, 40);
MIRAGE_FIELD(mirage_model_info, tensor_count, 48);
MIRAGE_FIELD(mirage_model_info, trained_context, 56);
MIRAGE_FIELD(mirage_model_info, context, 64);
MIRAGE_FIELD(mirage_model_info, vocabulary, 72);
MIRAGE_FIELD(mirage_model_info, layers, 76);
MIRAGE_FIELD(mirage_model_info, bos_token, 80);
MIRAGE_FIELD(mirage_model_info, eos_token, 84);
MIRAGE_FIELD(mirage_model_info, adds_bos, 88);
MIRAGE_FIELD(mirage_model_info, has_chat_template, 92);
MIRAGE_FIELD(mirage_model_info, answer_format, 96);
MIRAGE_FIELD(mirage_model_info, marks_reasoning, 100);
MIRAGE_FIELD(mirage_model_info, embedding, 104);
MIRAGE_FIELD(mirage_model_info, pooling, 108);
MIRAGE_FIELD(mirage_model_info, classes, 112);
MIRAGE_FIELD(mirage_model_info, reserved, 116);
MIRAGE_SIZE(mirage_model_info, 120);

MIRAGE_FIELD(mirage_metadata, struct_size, 0);
MIRAGE_FIELD(mirage_metadata, type, 4);
MIRAGE_FIELD(mirage_metadata, key, 8);
MIRAGE_FIELD(mirage_metadata, key_bytes, 16);
MIRAGE_FIELD(mirage_metadata, u, 24);
MIRAGE_FIELD(mirage_metadata, i, 32);
MIRAGE_FIELD(mirage_metadata, f, 40);
MIRAGE_FIELD(mirage_metadata, count, 48);
MIRAGE_FIELD(mirage_metadata, element_type, 56);
MIRAGE_FIELD(mirage_metadata, reserved, 60);
MIRAGE_SIZE(mirage_metadata, 64);

MIRAGE_FIELD(mirage_tensor, struct_size, 0);
MIRAGE_FIELD(mirage_tensor, dimensions, 4);
MIRAGE_FIELD(mirage_tensor, name, 8);
MIRAGE_FIELD(mirage_tensor, type, 16);
MIRAGE_FIELD(mirage_tensor, shape, 24);
MIRAGE_FIELD(mirage_tensor, bytes, 56);
MIRAGE_FIELD(mirage_tensor, offset, 64);
MIRAGE_FIELD(mirage_tensor, file, 72);
MIRAGE_FIELD(mirage_tensor, kernel, 76);
MIRAGE_SIZE(mirage_tensor, 80);

MIRAGE_FIELD(mirage_render_options, struct_size, 0);
MIRAGE_FIELD(mirage_render_options, reserved, 4);
MIRAGE_FIELD(mirage_render_options, chat_template, 8);
MIRAGE_FIELD(mirage_render_options, chat_template_bytes, 16);
MIRAGE_FIELD(mirage_render_options, now, 24);
MIRAGE_SIZE(mirage_render_options, 32);

MIRAGE_FIELD(mirage_parse_options, struct_size, 0);
MIRAGE_FIELD(mirage_parse_options, answer_format, 4);
MIRAGE_FIELD(mirage_parse_options, tools, 8);
MIRAGE_FIELD(mirage_parse_options, tools_bytes, 16);
MIRAGE_FIELD(mirage_parse_options, in_reasoning, 24);
MIRAGE_FIELD(mirage_parse_options, reserved, 28);
MIRAGE_FIELD(mirage_parse_options, id_seed, 32);
MIRAGE_SIZE(mirage_parse_options, 40);

MIRAGE_FIELD(mirage_session_options, struct_size, 0);
MIRAGE_FIELD(mirage_session_options, reserved, 4);
MIRAGE_FIELD(mirage_session_options, context, 8);
MIRAGE_FIELD(mirage_session_options, cache_salt, 16);
MIRAGE_FIELD(mirage_session_options, cache_salt_bytes, 24);
MIRAGE_FIELD(mirage_session_options, private_cache, 32);
MIRAGE_FIELD(mirage_session_options, reserved2, 36);
MIRAGE_FIELD(mirage_session_options, overflow, 40);
MIRAGE_FIELD(mirage_session_options, reserved3, 44);
MIRAGE_FIELD(mirage_session_options, keep_tokens, 48);
MIRAGE_SIZE(mirage_session_options, 56);

MIRAGE_FIELD(mirage_token_logprob, token, 0);
MIRAGE_FIELD(mirage_token_logprob, logprob, 4);
MIRAGE_SIZE(mirage_token_logprob, 8);

MIRAGE_FIELD(mirage_event, struct_size, 0);
MIRAGE_FIELD(mirage_event, kind, 4);
MIRAGE_FIELD(mirage_event, sample_index, 8);
MIRAGE_FIELD(mirage_event, finish, 12);
MIRAGE_FIELD(mirage_event, text, 16);
MIRAGE_FIELD(mirage_event, text_bytes, 24);
MIRAGE_FIELD(mirage_event, tokens, 32);
MIRAGE_FIELD(mirage_event, token_count, 40);
MIRAGE_FIELD(mirage_event, logprobs, 48);
MIRAGE_FIELD(mirage_event, top, 56);
MIRAGE_FIELD(mirage_event, top_count, 64);
MIRAGE_FIELD(mirage_event, logits, 72);
MIRAGE_FIELD(mirage_event, logit_count, 80);
MIRAGE_FIELD(mirage_event, position, 88);
MIRAGE_FIELD(mirage_event, text_kind, 96);
MIRAGE_FIELD(mirage_event, reserved, 100);
MIRAGE_FIELD(mirage_event, call_id, 104);
MIRAGE_FIELD(mirage_event, call_id_bytes, 112);
MIRAGE_FIELD(mirage_event, call_name, 120);
MIRAGE_FIELD(mirage_event, call_name_bytes, 128);
MIRAGE_FIELD(mirage_event, call_arguments, 136);
MIRAGE_FIELD(mirage_event, call_arguments_bytes, 144);
MIRAGE_SIZE(mirage_event, 152);

MIRAGE_FIELD(mirage_logit_bias, token, 0);
MIRAGE_FIELD(mirage_logit_bias, bias, 4);
MIRAGE_SIZE(mirage_logit_bias, 8);

MIRAGE_FIELD(mirage_string, text, 0);
MIRAGE_FIELD(mirage_string, bytes, 8);
MIRAGE_SIZE(mirage_string, 16);

MIRAGE_FIELD(mirage_token_sequence, tokens, 0);
MIRAGE_FIELD(mirage_token_sequence, count, 8);
MIRAGE_SIZE(mirage_token_sequence, 16);

MIRAGE_FIELD(mirage_generation_options, struct_size, 0);
MIRAGE_FIELD(mirage_generation_options, samples, 4);
MIRAGE_FIELD(mirage_generation_options, max_tokens, 8);
MIRAGE_FIELD(mirage_generation_options, deadline_ms, 16);
MIRAGE_FIELD(mirage_generation_options, temperature, 24);
MIRAGE_FIELD(mirage_generation_options, top_p, 28);
MIRAGE_FIELD(mirage_generation_options, min_p, 32);
MIRAGE_FIELD(mirage_generation_options, typical_p, 36);
MIRAGE_FIELD(mirage_generation_options, repeat_penalty, 40);
MIRAGE_FIELD(mirage_generation_options, presence_penalty, 44);
MIRAGE_FIELD(mirage_generation_options, frequency_penalty, 48);
MIRAGE_FIELD(mirage_generation_options, top_k, 52);
MIRAGE_FIELD(mirage_generation_options, repeat_last_n, 56);
MIRAGE_FIELD(mirage_generation_options, has_seed, 60);
MIRAGE_FIELD(mirage_generation_options, seed, 64);
MIRAGE_FIELD(mirage_generation_options, logprobs, 72);
MIRAGE_FIELD(mirage_generation_options, ignore_eos, 76);
MIRAGE_FIELD(mirage_generation_options, stop_strings, 80);
MIRAGE_FIELD(mirage_generation_options, stop_string_count, 88);
MIRAGE_FIELD(mirage_generation_options, stop_tokens, 96);
MIRAGE_FIELD(mirage_generation_options, stop_token_count, 104);
MIRAGE_FIELD(mirage_generation_options, logit_bias, 112);
MIRAGE_FIELD(mirage_generation_options, logit_bias_count, 120);
MIRAGE_FIELD(mirage_generation_options, callback, 128);
MIRAGE_FIELD(mirage_generation_options, callback_user_data, 136);
MIRAGE_FIELD(mirage_generation_options, sampler, 144);
MIRAGE_FIELD(mirage_generation_options, reserved, 148);
MIRAGE_FIELD(mirage_generation_options, priority, 152);
MIRAGE_FIELD(mirage_generation_options, draft_tokens, 156);
MIRAGE_FIELD(mirage_generation_options, samplers, 160);
MIRAGE_FIELD(mirage_generation_options, top_n_sigma, 168);
MIRAGE_FIELD(mirage_generation_options, dry_multiplier, 172);
MIRAGE_FIELD(mirage_generation_options, dry_base, 176);
MIRAGE_FIELD(mirage_generation_options, dry_allowed_length, 180);
MIRAGE_FIELD(mirage_generation_options, dry_penalty_last_n, 184);
MIRAGE_FIELD(mirage_generation_options, xtc_probability, 188);
MIRAGE_FIELD(mirage_generation_options, xtc_threshold, 192);
MIRAGE_FIELD(mirage_generation_options, dynatemp_range, 196);
MIRAGE_FIELD(mirage_generation_options, dynatemp_exponent, 200);
MIRAGE_FIELD(mirage_generation_options, mirostat, 204);
MIRAGE_FIELD(mirage_generation_options, mirostat_tau, 208);
MIRAGE_FIELD(mirage_generation_options, mirostat_eta, 212);
MIRAGE_FIELD(mirage_generation_options, dry_breakers, 216);
MIRAGE_FIELD(mirage_generation_options, dry_breaker_count, 224);
MIRAGE_FIELD(mirage_generation_options, min_tokens, 232);
MIRAGE_FIELD(mirage_generation_options, banned_sequences, 240);
MIRAGE_FIELD(mirage_generation_options, banned_sequence_count, 248);
MIRAGE_FIELD(mirage_generation_options, allowed_tokens, 256);
MIRAGE_FIELD(mirage_generation_options, allowed_token_count, 264);
MIRAGE_FIELD(mirage_generation_options, grammar_kind, 272);
MIRAGE_FIELD(mirage_generation_options, grammar_lazy, 276);
MIRAGE_FIELD(mirage_generation_options, grammar, 280);
MIRAGE_FIELD(mirage_generation_options, grammar_bytes, 288);
MIRAGE_FIELD(mirage_generation_options, grammar_triggers, 296);
MIRAGE_FIELD(mirage_generation_options, grammar_trigger_count, 304);
MIRAGE_FIELD(mirage_generation_options, grammar_trigger_tokens, 312);
MIRAGE_FIELD(mirage_generation_options, grammar_trigger_token_count, 320);
MIRAGE_FIELD(mirage_generation_options, draft_model, 328);
MIRAGE_FIELD(mirage_generation_options, echo, 336);
MIRAGE_FIELD(mirage_generation_options, prompt_logprobs, 340);
MIRAGE_FIELD(mirage_generation_options, prompt_logprobs_first, 344);
MIRAGE_FIELD(mirage_generation_options, adapters, 352);
MIRAGE_FIELD(mirage_generation_options, adapter_count, 360);
MIRAGE_FIELD(mirage_generation_options, answer_format, 368);
MIRAGE_FIELD(mirage_generation_options, strict_max_tokens, 372);
MIRAGE_SIZE(mirage_generation_options, 376);

MIRAGE_FIELD(mirage_adapter_use, adapter, 0);
MIRAGE_FIELD(mirage_adapter_use, scale, 8);
MIRAGE_FIELD(mirage_adapter_use, reserved, 12);
MIRAGE_SIZE(mirage_adapter_use, 16);

MIRAGE_FIELD(mirage_adapter_options, struct_size, 0);
MIRAGE_FIELD(mirage_adapter_options, reserved, 4);
MIRAGE_FIELD(mirage_adapter_options, progress, 8);
MIRAGE_FIELD(mirage_adapter_options, progress_user_data, 16);
MIRAGE_SIZE(mirage_adapter_options, 24);

MIRAGE_FIELD(mirage_adapter_info, struct_size, 0);
MIRAGE_FIELD(mirage_adapter_info, rank, 4);
MIRAGE_FIELD(mirage_adapter_info, name, 8);
MIRAGE_FIELD(mirage_adapter_info, alpha, 16);
MIRAGE_FIELD(mirage_adapter_info, matrices, 20);
MIRAGE_FIELD(mirage_adapter_info, bytes, 24);
MIRAGE_SIZE(mirage_adapter_info, 32);

MIRAGE_FIELD(mirage_text, text, 0);
MIRAGE_FIELD(mirage_text, text_bytes, 8);
MIRAGE_FIELD(mirage_text, tokens, 16);
MIRAGE_FIELD(mirage_text, token_count, 24);
MIRAGE_SIZE(mirage_text, 32);

MIRAGE_FIELD(mirage_score_options, struct_size, 0);
MIRAGE_FIELD(mirage_score_options, tokenize_flags, 4);
MIRAGE_FIELD(mirage_score_options, deadline_ms, 8);
MIRAGE_FIELD(mirage_score_options, progress, 16);
MIRAGE_FIELD(mirage_score_options, progress_user_data, 24);
MIRAGE_SIZE(mirage_score_options, 32);

MIRAGE_FIELD(mirage_embed_options, struct_size, 0);
MIRAGE_FIELD(mirage_embed_options, pooling, 4);
MIRAGE_FIELD(mirage_embed_options, normalize, 8);
MIRAGE_FIELD(mirage_embed_options, tokenize_flags, 12);
MIRAGE_FIELD(mirage_embed_options, deadline_ms, 16);
MIRAGE_FIELD(mirage_embed_options, progress, 24);
MIRAGE_FIELD(mirage_embed_options, progress_user_data, 32);
MIRAGE_SIZE(mirage_embed_options, 40);

MIRAGE_FIELD(mirage_plan_options, struct_size, 0);
MIRAGE_FIELD(mirage_plan_options, sessions, 4);
MIRAGE_FIELD(mirage_plan_options, context, 8);
MIRAGE_FIELD(mirage_plan_options, kv_type, 16);
MIRAGE_FIELD(mirage_plan_options, reserved, 20);
MIRAGE_FIELD(mirage_plan_options, memory_limit, 24);
MIRAGE_FIELD(mirage_plan_options, adapter_bytes, 32);
MIRAGE_SIZE(mirage_plan_options, 40);

MIRAGE_FIELD(mirage_plan, struct_size, 0);
MIRAGE_FIELD(mirage_plan, fits, 4);
MIRAGE_FIELD(mirage_plan, limit_bytes, 8);
MIRAGE_FIELD(mirage_plan, total_bytes, 16);
MIRAGE_FIELD(mirage_plan, weights_bytes, 24);
MIRAGE_FIELD(mirage_plan, kv_bytes, 32);
MIRAGE_FIELD(mirage_plan, slots_bytes, 40);
MIRAGE_FIELD(mirage_plan, tables_bytes, 48);
MIRAGE_FIELD(mirage_plan, workspace_bytes, 56);
MIRAGE_FIELD(mirage_plan, sessions_bytes, 64);
MIRAGE_FIELD(mirage_plan, least_bytes, 72);
MIRAGE_FIELD(mirage_plan, streamed_bytes_per_token, 80);
MIRAGE_FIELD(mirage_plan, context, 88);
MIRAGE_FIELD(mirage_plan, adapters_bytes, 96);
MIRAGE_FIELD(mirage_plan, active_bytes, 104);
MIRAGE_SIZE(mirage_plan, 112);

MIRAGE_FIELD(mirage_memory, struct_size, 0);
MIRAGE_FIELD(mirage_memory, reserved, 4);
MIRAGE_FIELD(mirage_memory, limit_bytes, 8);
MIRAGE_FIELD(mirage_memory, used_bytes, 16);
MIRAGE_FIELD(mirage_memory, peak_bytes, 24);
MIRAGE_FIELD(mirage_memory, weights_bytes, 32);
MIRAGE_FIELD(mirage_memory, mapped_bytes, 40);
MIRAGE_FIELD(mirage_memory, slots_bytes, 48);
MIRAGE_FIELD(mirage_memory, kv_bytes, 56);
MIRAGE_FIELD(mirage_memory, tables_bytes, 64);
MIRAGE_FIELD(mirage_memory, workspace_bytes, 72);
MIRAGE_FIELD(mirage_memory, sessions_bytes, 80);
MIRAGE_FIELD(mirage_memory, prefix_bytes, 88);
MIRAGE_FIELD(mirage_memory, adapters_bytes, 96);
MIRAGE_SIZE(mirage_memory, 104);

MIRAGE_FIELD(mirage_runtime_stats, struct_size, 0);
MIRAGE_FIELD(mirage_runtime_stats, threads, 4);
MIRAGE_FIELD(mirage_runtime_stats, steps, 8);
MIRAGE_FIELD(mirage_runtime_stats, prompt_tokens, 16);
MIRAGE_FIELD(mirage_runtime_stats, output_tokens, 24);
MIRAGE_FIELD(mirage_runtime_stats, rolled_back_steps, 32);
MIRAGE_FIELD(mirage_runtime_stats, generations, 40);
MIRAGE_FIELD(mirage_runtime_stats, weight_bytes_lent, 48);
MIRAGE_FIELD(mirage_runtime_stats, weights_revived, 56);
MIRAGE_FIELD(mirage_runtime_stats, kv_bytes_swapped_out, 64);
MIRAGE_FIELD(mirage_runtime_stats, kv_bytes_swapped_in, 72);
MIRAGE_SIZE(mirage_runtime_stats, 80);

MIRAGE_FIELD(mirage_model_stats, struct_size, 0);
MIRAGE_FIELD(mirage_model_stats, reserved, 4);
MIRAGE_FIELD(mirage_model_stats, load_s, 8);
MIRAGE_FIELD(mirage_model_stats, weights_bytes, 16);
MIRAGE_FIELD(mirage_model_stats, resident_bytes, 24);
MIRAGE_FIELD(mirage_model_stats, mapped_bytes, 32);
MIRAGE_FIELD(mirage_model_stats, lent_bytes, 40);
MIRAGE_FIELD(mirage_model_stats, streamed_bytes, 48);
MIRAGE_FIELD(mirage_model_stats, hidden_s, 56);
MIRAGE_FIELD(mirage_model_stats, unhidden_s, 64);
MIRAGE_SIZE(mirage_model_stats, 72);

MIRAGE_FIELD(mirage_session_stats, struct_size, 0);
MIRAGE_FIELD(mirage_session_stats, busy, 4);
MIRAGE_FIELD(mirage_session_stats, messages, 8);
MIRAGE_FIELD(mirage_session_stats, tokens, 16);
MIRAGE_FIELD(mirage_session_stats, waiting_tokens, 24);
MIRAGE_FIELD(mirage_session_stats, cached_tokens, 32);
MIRAGE_FIELD(mirage_session_stats, context, 40);
MIRAGE_SIZE(mirage_session_stats, 48);

MIRAGE_FIELD(mirage_generation_stats, struct_size, 0);
MIRAGE_FIELD(mirage_generation_stats, finish, 4);
MIRAGE_FIELD(mirage_generation_stats, seed, 8);
MIRAGE_FIELD(mirage_generation_stats, prompt_tokens, 16);
MIRAGE_FIELD(mirage_generation_stats, cached_tokens, 24);
MIRAGE_FIELD(mirage_generation_stats, output_tokens, 32);
MIRAGE_FIELD(mirage_generation_stats, wait_s, 40);
MIRAGE_FIELD(mirage_generation_stats, prompt_s, 48);
MIRAGE_FIELD(mirage_generation_stats, output_s, 56);
MIRAGE_FIELD(mirage_generation_stats, memory_waits, 64);
MIRAGE_FIELD(mirage_generation_stats, preemptions, 72);
MIRAGE_FIELD(mirage_generation_stats, drafted_tokens, 80);
MIRAGE_FIELD(mirage_generation_stats, accepted_tokens, 88);
MIRAGE_FIELD(mirage_generation_stats, dropped_tokens, 96);
MIRAGE_FIELD(mirage_generation_stats, shifts, 104);
MIRAGE_SIZE(mirage_generation_stats, 112);

MIRAGE_FIELD(mirage_token, struct_size, 0);
MIRAGE_FIELD(mirage_token, type, 4);
MIRAGE_FIELD(mirage_token, text, 8);
MIRAGE_FIELD(mirage_token, text_bytes, 16);
MIRAGE_FIELD(mirage_token, ends_generation, 24);
MIRAGE_FIELD(mirage_token, reserved, 28);
MIRAGE_SIZE(mirage_token, 32);

MIRAGE_FIELD(mirage_allocator, struct_size, 0);
MIRAGE_FIELD(mirage_allocator, reserved, 4);
MIRAGE_FIELD(mirage_allocator, allocate, 8);
MIRAGE_FIELD(mirage_allocator, release, 16);
MIRAGE_FIELD(mirage_allocator, user_data, 24);
MIRAGE_SIZE(mirage_allocator, 32);
